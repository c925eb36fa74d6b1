"""The official Python SDK as a server of both eras: everything in offer.json.

Usage: server.py. Prints one line of JSON with its URL and serves until it is ended. Which
era is spoken is for the client to say.
"""

import asyncio
import json
import socket
import warnings
from pathlib import Path

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

warnings.simplefilter("ignore", MCPDeprecationWarning)

OFFER = json.loads(Path(__file__).with_name("offer.json").read_text())
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
STATE = "the state of round one"

more = False
touched = 0
ended = set()
bus = InMemorySubscriptionBus()
# Legacy sessions by their id: what each is to be told and how much it wants logged.
sessions = {}


class Told:
    def __init__(self, session):
        self.session, self.level, self.uris = session, "debug", set()


def modern(ctx):
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def told(ctx):
    key = ctx.request.headers.get("mcp-session-id")
    return sessions.setdefault(key, Told(ctx.session))


async def tell(event, notify, wanted=lambda told: True):
    """Tells modern listeners through the bus and legacy sessions one by one."""
    await bus.publish(event)
    for key, one in list(sessions.items()):
        if wanted(one):
            try:
                await notify(one.session)
            except Exception:  # a session that is gone
                sessions.pop(key, None)


def offered(kind):
    entries = OFFER[kind + "s"]
    return entries + [OFFER["extra"][kind]] if more else entries


def result(content, **others):
    return types.CallToolResult.model_validate({"content": content, **others})


def text(words, **others):
    return result([{"type": "text", "text": words}], **others)


def note():
    return {"uri": "test://note", "mimeType": "text/plain", "text": "a note"}


async def put(ctx, key):
    """Puts one question to a legacy client, the way the SDK has for it."""
    question, session, related = OFFER["questions"][key], ctx.session, ctx.request_id
    params = question.get("params", {})
    if key == "sample":
        messages = [types.SamplingMessage.model_validate(one) for one in params["messages"]]
        return await session.create_message(
            messages, max_tokens=params["maxTokens"], related_request_id=related
        )
    if key == "ask":
        return await session.elicit_form(params["message"], params["requestedSchema"], related)
    if key == "visit":
        return await session.elicit_url(params["message"], params["url"], "visit-1", related)
    return await session.list_roots()


async def answers(ctx, params, *keys):
    """What the client says to these questions; None where it has to come back with that."""
    if not modern(ctx):
        return [await put(ctx, key) for key in keys]
    if params.input_responses is None:
        return None
    if params.request_state != STATE:
        raise MCPError(types.INVALID_PARAMS, f"the state came back as {params.request_state!r}")
    return [params.input_responses[key] for key in keys]


def required(*keys):
    requests = {key: OFFER["questions"][key] for key in keys}
    return types.InputRequiredResult.model_validate(
        {"inputRequests": requests, "requestState": STATE}
    )


def spoken(key, answer):
    if key == "sample":
        return answer.content.text
    if key == "ask":
        return f"{answer.action} {answer.content['name']}"
    if key == "visit":
        return answer.action
    return " ".join(str(root.uri) for root in answer.roots)


async def log(ctx):
    for level, words in [("debug", "details"), ("info", "started"), ("warning", "careful")]:
        if modern(ctx) or LEVELS.index(level) >= LEVELS.index(told(ctx).level):
            await ctx.session.send_log_message(level, words, "walk", ctx.request_id)
    return text("logged")


async def endless(ctx, walk):
    try:
        await ctx.session.report_progress(1, 3)
        await asyncio.Event().wait()
    finally:
        ended.add(walk)


async def change(now):
    global more
    more = now
    await tell(ToolsListChanged(), lambda session: session.send_tool_list_changed())
    await tell(PromptsListChanged(), lambda session: session.send_prompt_list_changed())
    await tell(ResourcesListChanged(), lambda session: session.send_resource_list_changed())
    return text("changed")


async def touch():
    global touched
    touched += 1
    uri = "test://watched"
    update = lambda session: session.send_resource_updated(uri)
    await tell(ResourceUpdated(uri), update, lambda told: uri in told.uris)
    return text("touched")


async def call_tool(ctx, params):
    name, arguments = params.name, params.arguments or {}
    if not modern(ctx):
        told(ctx)
    if name == "echo":
        return text(arguments["message"])
    if name == "forecast":
        forecast = {"city": arguments["city"], "degrees": 21.5}
        return text(json.dumps(forecast), structuredContent=forecast)
    if name == "fail":
        return text("no such customer", isError=True)
    if name == "steps":
        for done in (1, 2, 3):
            await ctx.session.report_progress(done, 3, f"step {done}")
        return text("all three")
    if name == "endless":
        return await endless(ctx, arguments["walk"])
    if name == "ended":
        return text(str(arguments["walk"] in ended).lower())
    if name == "log":
        return await log(ctx)
    if name == "links":
        link = {"type": "resource_link", "uri": "test://note", "name": "Note"}
        return result([link, {"type": "resource", "resource": note()}])
    if name == "era":
        return text("modern" if modern(ctx) else "legacy")
    if name == "change":
        return await change(arguments["more"])
    if name == "touch":
        return await touch()
    if name in ("sample", "ask", "visit", "roots", "both"):
        keys = ("sample", "ask") if name == "both" else (name,)
        given = await answers(ctx, params, *keys)
        if given is None:
            return required(*keys)
        return text(", ".join(spoken(key, one) for key, one in zip(keys, given)))
    if name == "extra" and more:
        return text("extra")
    raise MCPError(types.INVALID_PARAMS, f"there is no tool {name}")


async def get_prompt(ctx, params):
    content = {"type": "text", "text": "Hello"}
    if params.name == "greeting":
        content["text"] = f"Hello, {params.arguments['name']}"
    elif params.name == "about":
        content = {"type": "resource", "resource": note()}
    elif params.name == "personal":
        given = await answers(ctx, params, "ask")
        if given is None:
            return required("ask")
        content["text"] = f"Hello, {given[0].content['name']}"
    elif params.name != "plain":
        raise MCPError(types.INVALID_PARAMS, f"there is no prompt {params.name}")
    messages = [{"role": "user", "content": content}]
    return types.GetPromptResult.model_validate({"messages": messages})


async def read_resource(ctx, params):
    uri = str(params.uri)
    content = {"uri": uri, "mimeType": "text/plain"}
    if uri == "test://note":
        content = note()
    elif uri == "test://pixel":
        content = {"uri": uri, "mimeType": "application/octet-stream", "blob": "AAEC"}
    elif uri == "test://watched":
        content["text"] = "touched" if touched else "untouched"
    elif uri.startswith("test://items/"):
        content["text"] = "item " + uri.removeprefix("test://items/")
    else:
        raise MCPError(types.INVALID_PARAMS, f"there is no resource {uri}")
    return types.ReadResourceResult.model_validate({"contents": [content]})


async def complete(ctx, params):
    if params.ref.type == "ref/prompt":
        values = [one for one in OFFER["names"] if one.startswith(params.argument.value)]
    else:
        values = [params.argument.value + digit for digit in "123"]
    completion = {"values": values, "total": len(values), "hasMore": False}
    return types.CompleteResult.model_validate({"completion": completion})


async def set_level(ctx, params):
    told(ctx).level = params.level
    return types.EmptyResult()


async def subscribe(ctx, params):
    told(ctx).uris.add(str(params.uri))
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    told(ctx).uris.discard(str(params.uri))
    return types.EmptyResult()


async def list_tools(ctx, params):
    """The one list that has more than a page."""
    start = int(params.cursor or 0) if params else 0
    tools, end = offered("tool"), start + OFFER["page"]
    cursor = str(end) if end < len(tools) else None
    page = {"tools": tools[start:end], "nextCursor": cursor}
    return types.ListToolsResult.model_validate(page)


async def list_prompts(ctx, params):
    return types.ListPromptsResult.model_validate({"prompts": offered("prompt")})


async def list_resources(ctx, params):
    return types.ListResourcesResult.model_validate({"resources": offered("resource")})


async def list_templates(ctx, params):
    templates = {"resourceTemplates": OFFER["templates"]}
    return types.ListResourceTemplatesResult.model_validate(templates)


class Walked(Server):
    """Says that its lists change, which is no option of the HTTP application."""

    def create_initialization_options(self, notification_options=None, *others, **more):
        changes = NotificationOptions(True, True, True)
        return super().create_initialization_options(changes, *others, **more)


async def remember(ctx, call_next):
    """Knows every legacy session from its first message on."""
    if ctx.method == "notifications/initialized":
        told(ctx)
    return await call_next(ctx)


server = Walked(
    "walked-python",
    version="1",
    instructions="Walk through.",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read_resource,
    on_subscribe_resource=subscribe,
    on_unsubscribe_resource=unsubscribe,
    on_subscriptions_listen=ListenHandler(bus),
    on_completion=complete,
    on_set_logging_level=set_level,
)
server.middleware.append(remember)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
application = server.streamable_http_app()
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
config = uvicorn.Config(application, log_level="warning")
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
