// Runs Azurite inside this process until standard input closes, which happens when the process that holds the other end closes it
// or dies in whatever way, kill -9 included. Then the data folder goes too: an emulator without a user is litter.
// Called as: node -e <this text> <azurite.js> <data folder> <Azurite's own options...>
const [entry, folder] = process.argv.slice(1, 3);
process.argv.splice(1, 2, entry);
process.stdin.resume();
process.stdin.on("close", () => {
  require("fs").rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
require(entry);
