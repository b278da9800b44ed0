// One person's feed: sign in, read page by page as one scrolls, like.
import { Api, Refused } from "./client.js";

const $ = (id) => document.getElementById(id);
const api = new Api(sessionStorage);
let next = { cursor: null, more: true, busy: false };

function show(signedIn) {
  $("sign-in").hidden = signedIn;
  $("feed").hidden = !signedIn;
  $("who").hidden = !signedIn;
  $("name").textContent = api.username ?? "";
}

function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  const steps = [[60, "second"], [60, "minute"], [24, "hour"], [365, "day"]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  let value = seconds;
  for (const [size, unit] of steps) {
    if (value < size) return words.format(-Math.floor(value), unit);
    value /= size;
  }
  return new Date(iso).toLocaleDateString("en");
}

function draw(post) {
  const card = $("post").content.cloneNode(true);
  const find = (selector) => card.querySelector(selector);
  find(".author").textContent = post.user.username;
  const avatar = find(".avatar");
  if (post.user.avatar_url) avatar.style.backgroundImage = `url("${encodeURI(post.user.avatar_url)}")`;
  else avatar.textContent = post.user.username[0].toUpperCase();
  find("time").dateTime = post.created_at;
  find("time").textContent = ago(post.created_at);
  const image = find("img");
  image.src = post.image_urls.feed;
  image.srcset = `${post.image_urls.feed} 640w, ${post.image_urls.full} 1080w`;
  image.sizes = "(max-width: 38rem) 100vw, 38rem";
  image.width = post.width;
  image.height = post.height;
  image.alt = post.alt_text || post.caption || "A photograph without a description";
  find(".caption").textContent = post.caption;
  find(".tags").textContent = post.tags.map((tag) => `#${tag}`).join(" ");
  find(".comments").textContent = post.comment_count === 1 ? "1 comment" : `${post.comment_count} comments`;
  const button = find(".like");
  const likes = find(".likes");
  const paint = (state) => {
    button.setAttribute("aria-pressed", state.liked_by_viewer);
    button.setAttribute("aria-label", state.liked_by_viewer ? "Unlike" : "Like");
    button.firstElementChild.textContent = state.liked_by_viewer ? "♥" : "♡";
    likes.textContent = state.like_count;
  };
  paint(post);
  button.addEventListener("click", () => guarded(async () => {
    const liked = button.getAttribute("aria-pressed") === "true";
    paint(await api.like(post.post_id, !liked));
  }));
  return card;
}

async function guarded(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return leave();
    $("note").textContent = `${error.message} Try again in a moment.`;
  }
}

async function more() {
  if (next.busy || !next.more || !api.token) return;
  next.busy = true;
  $("feed").setAttribute("aria-busy", "true");
  await guarded(async () => {
    const page = await api.feed(next.cursor);
    $("feed").append(...page.posts.map(draw));
    next = { cursor: page.next_cursor, more: page.has_more, busy: true };
    if (page.completeness === "rebuilding") $("note").textContent = "Your feed is being put together…";
    else if (page.completeness === "degraded") $("note").textContent = "Some posts may be missing just now.";
    else if (page.has_more) $("note").textContent = "";
    else $("note").textContent = $("feed").childElementCount
      ? "You have seen everything." : "Nothing here yet. Follow somebody.";
  });
  next.busy = false;
  $("feed").setAttribute("aria-busy", "false");
}

// The observer speaks only when the end comes into reach, not while it stays there.
async function fill() {
  const reach = () => $("end").getBoundingClientRect().top < innerHeight + 800;
  do await more(); while (next.more && !next.busy && api.token && reach() && !$("note").textContent);
}

function leave() {
  api.forget();
  $("feed").replaceChildren();
  $("note").textContent = "";
  next = { cursor: null, more: true, busy: false };
  show(false);
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  $("refusal").textContent = "";
  try {
    await api.signIn(form.get("username"), form.get("password"));
    event.target.reset();
    show(true);
    await fill();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("refusal").textContent = error.message;
  }
});
$("leave").addEventListener("click", leave);
new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && fill(), { rootMargin: "800px" })
  .observe($("end"));
show(Boolean(api.token));
fill();
