// Sends every call of calls.json, and more tracks than fit in a batch, by one SDK for Node. An event's id is the
// SDK's name, the call and a number.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [sdk, host, folder] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const calls = JSON.parse(readFileSync(new URL("calls.json", import.meta.url)));
const many = Number(process.env.MANY);

// What an SDK is given of a call, and the id.
function message({ call, stored, timestamp, ...fields }, number) {
  const time = timestamp ? { timestamp: new Date(timestamp) } : {};
  return { ...fields, ...time, messageId: `${sdk}-${call}-${number}` };
}

const track = calls.find(({ call }) => call === "track");
const messages = calls.map((call) => [call.call, message(call, 0)]);
for (let number = 1; number <= many; number += 1) messages.push(["track", message(track, number)]);

async function segment() {
  const { Analytics } = require("@segment/analytics-node");
  const { origin, pathname } = new URL("v1/batch", `${host}/`);
  const analytics = new Analytics({ writeKey: "key", host: origin, path: pathname, maxRetries: 5, flushInterval: 100 });
  const failed = [];
  analytics.on("error", (error) => failed.push(error));
  for (const [call, fields] of messages) analytics[call](fields);
  await analytics.closeAndFlush({ timeout: 60000 });
  if (failed.length) throw new Error(JSON.stringify(failed[0]));
}

async function rudder() {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const analytics = new Analytics("key", { dataPlaneUrl: host, flushInterval: 100, logLevel: "error" });
  await Promise.all(messages.map(([call, fields]) => new Promise((resolve, reject) => {
    analytics[call](fields, (error) => (error ? reject(error) : resolve()));
  })));
}

await { "segment-node": segment, "rudder-node": rudder }[sdk]();
process.exit(0);
