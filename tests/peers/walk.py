"""The official Python SDK as a client that walks through everything in offer.json.

Usage: walk.py KEY MODE TARGET..., where MODE is `legacy` or `modern` and each TARGET is a URL,
or a URL with a name prefix and a URI prefix, in JSON: [url, "py_", "mcp+py:"]. Prints a JSON
list with one report for each target; tests/peers/matrix.rs says what they should be.
"""

import asyncio
import json
import sys
import uuid
import warnings

import anyio
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPDeprecationWarning

warnings.simplefilter("ignore", MCPDeprecationWarning)
PATIENCE = 20
EXTRAS = [("tools", "extra"), ("prompts", "extra"), ("resources", "test://extra")]


async def sampled(context, params):
    word = {"type": "text", "text": "serendipity"}
    return types.CreateMessageResult(role="assistant", content=word, model="walker")


async def elicited(context, params):
    if params.mode == "url":
        right = params.url == "https://example.com/sign-in"
        return types.ElicitResult(action="accept" if right else "decline")
    assert "name" in params.requested_schema["properties"]
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def rooted(context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///walk", name="walk")])


class Walk:
    def __init__(self, mode, name, uri):
        self.modern, self.name, self.uri = mode == "modern", name, uri
        self.logged, self.heard = [], set()
        self.wake = anyio.Event()

    def hear(self, what):
        self.heard.add(what)
        self.wake.set()

    async def until(self, *wanted):
        """Waits until all of these were heard."""
        with anyio.fail_after(PATIENCE):
            while not self.heard.issuperset(wanted):
                self.wake = anyio.Event()
                await self.wake.wait()

    async def log(self, params):
        self.logged.append([params.level, params.data])

    async def message(self, message):
        """What a legacy server tells on a stream of its own."""
        method = getattr(message, "method", "")
        if method == "notifications/resources/updated":
            self.hear(str(message.params.uri))
        elif method.endswith("/list_changed"):
            self.hear(method.split("/")[1])

    async def follow(self, subscription):
        """What a modern server tells on the stream that was asked for."""
        kinds = {"ToolsListChanged": "tools", "PromptsListChanged": "prompts"}
        async for event in subscription:
            kind = type(event).__name__
            self.hear(event.uri if kind == "ResourceUpdated" else kinds.get(kind, "resources"))

    async def call(self, tool, arguments=None, **others):
        return await self.client.call_tool(self.name + tool, arguments or {}, **others)

    async def said(self, tool, arguments=None):
        return (await self.call(tool, arguments)).content[0].text

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents[0]

    async def every(self, list_page, entries, key, prefix):
        """All entries of a list that are behind the prefix, without it, and the pages."""
        found, pages, cursor = [], 0, None
        while True:
            page = await list_page(cursor=cursor, cache_mode="bypass")
            found += [str(getattr(entry, key)) for entry in getattr(page, entries)]
            pages, cursor = pages + 1, page.next_cursor
            if cursor is None:
                # A name that nobody else has needs no prefix.
                own = (one for one in found if one.startswith(prefix) or one == "extra")
                return [one.removeprefix(prefix) for one in own], pages

    async def lists(self):
        client = self.client
        tools, pages = await self.every(client.list_tools, "tools", "name", self.name)
        prompts, _ = await self.every(client.list_prompts, "prompts", "name", self.name)
        resources, _ = await self.every(client.list_resources, "resources", "uri", self.uri)
        templates, _ = await self.every(
            client.list_resource_templates, "resource_templates", "uri_template", self.uri
        )
        lists = {"tools": tools, "prompts": prompts, "resources": resources}
        return {**lists, "templates": templates, "pages": pages}

    async def tools(self):
        steps = []

        async def step(progress, total, message):
            steps.append([int(progress), int(total), message])

        forecast = await self.call("forecast", {"city": "Oslo"})
        failed = await self.call("fail")
        stepped = await self.call("steps", progress_callback=step)
        return {
            "echo": await self.said("echo", {"message": "grüße"}),
            "structured": forecast.structured_content,
            "failed": [failed.is_error, failed.content[0].text],
            "stepped": stepped.content[0].text,
            "steps": steps,
            "cancelled": await self.cancelled(),
        }

    async def cancelled(self):
        """Cancels a call that would not end, and waits for the server to have noticed."""
        walk = str(uuid.uuid4())
        with anyio.CancelScope() as scope:

            async def stop(progress, total, message):
                scope.cancel()

            await self.call("endless", {"walk": walk}, progress_callback=stop)
        with anyio.fail_after(PATIENCE):
            while await self.said("ended", {"walk": walk}) != "true":
                await anyio.sleep(0.02)
        return scope.cancelled_caught

    async def log_at(self, level):
        if not self.modern:
            await self.client.set_logging_level(level)
        await self.said("log")
        # A legacy server may log on a stream of its own, beside the answer.
        with anyio.move_on_after(PATIENCE):
            while len(self.logged) < 2:
                await anyio.sleep(0.02)
        return self.logged

    async def links(self):
        link, embedded = (await self.call("links")).content
        uris = [str(link.uri), str(embedded.resource.uri)]
        return {
            "linked": [uri.removeprefix(self.uri) for uri in uris],
            "followed": (await self.read(uris[0])).text,
        }

    async def prompts(self):
        async def message(name, arguments=None):
            prompt = await self.client.get_prompt(self.name + name, arguments)
            return prompt.messages[0].content

        return {
            "plain": (await message("plain")).text,
            "greeting": (await message("greeting", {"name": "Ada"})).text,
            "about": str((await message("about")).resource.uri).removeprefix(self.uri),
            "personal": (await message("personal")).text,
        }

    async def resources(self):
        note = await self.read(self.uri + "test://note")
        return {
            "text": note.text,
            "uri": str(note.uri).removeprefix(self.uri),
            "blob": (await self.read(self.uri + "test://pixel")).blob,
            "item": (await self.read(self.uri + "test://items/7")).text,
        }

    async def completion(self):
        prompt = types.PromptReference(type="ref/prompt", name=self.name + "greeting")
        template = self.uri + "test://items/{id}"
        template = types.ResourceTemplateReference(type="ref/resource", uri=template)
        names = await self.client.complete(prompt, {"name": "name", "value": "A"})
        ids = await self.client.complete(template, {"name": "id", "value": "4"})
        return {"names": names.completion.values, "ids": ids.completion.values}

    async def refused(self, work):
        try:
            await work
        except MCPError as error:
            return error.error.code

    async def unknown(self):
        return {
            "no_tool": await self.refused(self.said("missing")),
            "no_prompt": await self.refused(self.client.get_prompt(self.name + "missing", {})),
            "no_resource": await self.refused(self.read(self.uri + "test://missing")),
        }

    async def asked(self):
        return {key: await self.said(key) for key in ("sample", "ask", "visit", "roots", "both")}

    async def changes(self):
        watched = self.uri + "test://watched"
        kinds = ("tools", "prompts", "resources")
        async with anyio.create_task_group() as tasks:
            if self.modern:
                flags = {f"{kind}_list_changed": True for kind in kinds}
                listening = self.client.listen(**flags, resource_subscriptions=[watched])
                subscription = await listening.__aenter__()
                tasks.start_soon(self.follow, subscription)
            else:
                await self.client.subscribe_resource(watched)
            await self.said("touch")
            await self.until(watched)
            heard = await self.change(True, kinds)
            await self.change(False, kinds)
            tasks.cancel_scope.cancel()
            if self.modern:
                with anyio.CancelScope(shield=True):
                    await listening.__aexit__(None, None, None)
        return {"heard": sorted(one.removeprefix(self.uri) for one in heard)}

    async def change(self, more, kinds):
        """Makes the lists longer or shorter; done when that was told and can be seen."""
        self.heard -= set(kinds)
        await self.said("change", {"more": more})
        await self.until(*kinds)
        await self.settled(more)
        return set(self.heard)

    async def settled(self, more):
        with anyio.fail_after(PATIENCE):
            while not await self.lists_have(more):
                await anyio.sleep(0.02)

    async def lists_have(self, more):
        lists = await self.lists()
        return all((entry in lists[kind]) == more for kind, entry in EXTRAS)

    def capabilities(self):
        """What the server says it can do, in words."""
        said = self.client.server_capabilities.model_dump(by_alias=True, exclude_none=True)
        flags = ("listChanged", "subscribe")
        inner = [f"{name}.{flag}" for name in said for flag in flags if said[name].get(flag)]
        return sorted([*(name for name in said if name != "extensions"), *inner])

    async def all(self, client):
        self.client = client
        # Another walk at the same server may just be over, or have ended half-way.
        await self.said("change", {"more": False})
        await self.settled(False)
        report = {"revision": client.protocol_version, "capabilities": self.capabilities()}
        report["server"] = await self.said("era")
        parts = (self.lists, self.tools, self.links, self.prompts, self.resources)
        for part in (*parts, self.completion, self.unknown, self.asked, self.changes):
            try:
                with anyio.fail_after(PATIENCE + 10):
                    report |= await part()
            except Exception as error:  # the report says which part failed, and how
                report[part.__name__] = f"failed: {error!r}"
        report["logged"] = await self.log_at("info")
        return report


async def walk(key, mode, target):
    url, name, uri = json.loads(target) if target.startswith("[") else (target, "", "")
    one = Walk(mode, name, uri)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with create_mcp_http_client(headers=headers) as http:
        client = Client(
            streamable_http_client(url, http_client=http),
            mode="legacy" if mode == "legacy" else "auto",
            sampling_callback=sampled,
            elicitation_callback=elicited,
            list_roots_callback=rooted,
            logging_callback=one.log,
            log_level="info",
            message_handler=one.message,
        )
        async with client:
            return await one.all(client)


async def main(key, mode, targets):
    return [await walk(key, mode, target) for target in targets]


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))))
