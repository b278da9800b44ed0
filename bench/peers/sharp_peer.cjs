// sharp by its own recipe, in one thread: `node sharp_peer.cjs FILE OUT COUNT`; prints the
// processor milliseconds of each time as JSON.
const fs = require("fs");
const sharp = require("sharp");
sharp.concurrency(1);
sharp.cache(false);
const [file, out, count] = process.argv.slice(2);
const jpeg = { quality: 82, optimizeCoding: true, chromaSubsampling: "4:2:0" };
const inside = (bound) => [bound, bound, { fit: "inside", withoutEnlargement: true }];
const pixels = async (image) => {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
};

async function render() {
  const full = await pixels(sharp(file).rotate().resize(...inside(1080)).flatten({ background: "#fff" }));
  const feed = await pixels(full.clone().resize(...inside(640)));
  return {
    full: await full.jpeg(jpeg).toBuffer(),
    feed: await feed.clone().jpeg(jpeg).toBuffer(),
    thumbnail: await feed.clone().resize(150, 150).jpeg(jpeg).toBuffer(),
  };
}

(async () => {
  let variants = await render();
  const times = [];
  for (let at = 0; at < Number(count); at++) {
    const began = process.cpuUsage();
    variants = await render();
    const used = process.cpuUsage(began);
    times.push((used.user + used.system) / 1000);
  }
  for (const name in variants) fs.writeFileSync(`${out}/${name}.jpg`, variants[name]);
  console.log(JSON.stringify(times));
})().catch((error) => { console.error(String(error)); process.exit(1); });
