"""B5 by FastAPI on uvicorn: accepts events, checks them with Pydantic, and stores them in memory."""

import datetime
import socket
import uuid

import fastapi
import pydantic
import uvicorn

kept = []
app = fastapi.FastAPI()


class Event(pydantic.BaseModel):
    userId: str
    event: str
    timestamp: datetime.datetime
    metadata: dict = {}


def taken(event):
    message = str(uuid.uuid4())
    kept.append((message, event))
    return message


@app.post("/track")
async def track(event: Event):
    return {"messageId": taken(event)}


@app.post("/events", status_code=202)
async def events(events: list[Event]):
    return {"messageIds": [taken(event) for event in events]}


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1024)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])
