// The few calls of the API that the page makes; errors are problem+json (RFC 9457).

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Api {
  constructor(storage) {
    this.storage = storage;
    this.token = storage.getItem("token");
    this.username = storage.getItem("username");
  }

  async signIn(username, password) {
    const answer = await this.call("POST", "/auth/token", { username, password });
    this.token = answer.access_token;
    this.username = username;
    this.storage.setItem("token", this.token);
    this.storage.setItem("username", username);
  }

  forget() {
    this.token = this.username = null;
    this.storage.clear();
  }

  feed(cursor) {
    return this.call("GET", `/feed?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  }

  like(postId, liked) {
    return this.call(liked ? "POST" : "DELETE", `/likes/${encodeURIComponent(postId)}`);
  }

  async call(method, path, body) {
    const headers = { Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID();
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new Refused(0, "The server can't be reached.");
    }
    const document = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(answer.status, document.detail ?? document.title ?? `Error ${answer.status}.`);
    return document;
  }
}
