// B5 by Express: takes events in, checks the four fields, and keeps them in memory. Argument: its node_modules.
const { createRequire } = require("node:module");
const { randomUUID } = require("node:crypto");
const express = createRequire(process.argv[2] + "/")("express");

const kept = [];
const app = express();
app.use(express.json({ limit: "500kb" }));

function taken(event) {
  const { userId, event: name, timestamp } = event;
  if (typeof userId !== "string" || typeof name !== "string" || Number.isNaN(Date.parse(timestamp))) return null;
  const messageId = randomUUID();
  kept.push({ messageId, event });
  return messageId;
}

app.post("/track", (request, response) => {
  const messageId = taken(request.body);
  if (messageId === null) return response.status(400).json({ error: "not an event" });
  response.json({ messageId });
});

app.post("/events", (request, response) => {
  response.status(202).json({ messageIds: request.body.map(taken) });
});

const server = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
