"""The official Python SDK as a client that knows one URL and finds the rest by itself.

Usage: client.py MODE URL [DOCUMENT]; what it prints and the commands it takes are those of
client.mjs, with `legacy` and `modern` for MODE.
"""

import asyncio
import json
import sys
import time
import traceback
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


def say(message):
    print(json.dumps(message), flush=True)


class Kept:
    """Keeps everything in memory, as it was given."""

    tokens = client = None
    saved = 0

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.saved += 1
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Waiting:
    """Where the browser comes back to."""

    async def open(self):
        self.arrived = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/callback"
        return self

    async def serve(self, reader, writer):
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()
        query = {name: values[0] for name, values in parse_qs(urlsplit(line.split()[1]).query).items()}
        if not self.arrived.done():
            self.arrived.set_result(query)

    async def answer(self):
        query = await self.arrived
        assert "error" not in query, f"refused: {query}"
        return AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query.get("iss"))


async def opened(url):
    say({"open": url})


class Walk:
    def __init__(self, mode, url, document, waiting):
        self.mode, self.url, self.kept = mode, url, Kept()
        metadata = OAuthClientMetadata(
            client_name="The Python SDK",
            redirect_uris=[waiting.url],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        )
        self.make = lambda: OAuthClientProvider(
            url, metadata, self.kept, opened, waiting.answer, client_metadata_url=document
        )

    async def connected(self, work):
        """Does some work with a client that begins with what was stored."""
        self.auth = self.make()
        async with create_mcp_http_client(auth=self.auth) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode="legacy" if self.mode == "legacy" else "auto") as client:
                return await work(client)

    async def call(self, client):
        answer = await client.call_tool("echo", {"message": "grüße"})
        return {"called": answer.content[0].text}

    async def first(self, client):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        called = await self.call(client)
        kept = self.kept
        about = {"client": kept.client.client_id, "scope": kept.tokens.scope, "saved": kept.saved}
        return {**called, "tools": tools, **about}

    async def spoil(self, client):
        """As the SDK does it: by the clock, once the token's time is over."""
        before, refresh = self.kept.saved, self.kept.tokens.refresh_token
        self.auth.context.token_expiry_time = time.time() - 1
        called = await self.call(client)
        rotated = self.kept.tokens.refresh_token != refresh
        return {**called, "refreshed": self.kept.saved - before, "rotated": rotated}


async def answered(work):
    try:
        say(await work)
    except Exception:
        say({"failed": traceback.format_exc()})


async def main(mode, url, document=None):
    walk = Walk(mode, url, document, await Waiting().open())

    async def session(client):
        await answered(walk.first(client))
        works = {
            "call": lambda: walk.call(client),
            "spoil": lambda: walk.spoil(client),
            "again": lambda: walk.connected(walk.call),
        }
        while line := await asyncio.to_thread(sys.stdin.readline):
            await answered(works[line.strip()]())

    try:
        await walk.connected(session)
    except Exception:
        say({"failed": traceback.format_exc()})


asyncio.run(main(*sys.argv[1:]))
