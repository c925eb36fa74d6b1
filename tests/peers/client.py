"""The official Python SDK as a client: lists, calls, follows progress, cancels.

Usage: client.py URL KEY MODE, where MODE is `legacy` or a revision. Prints one JSON object
of what it saw; tests/peers.rs says what that should be.
"""

import asyncio
import json
import sys

import anyio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


async def all_tools(client):
    names, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        names += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return names


async def cancelled(client):
    """Cancels a call as soon as it reports progress; True where it did not end by itself."""
    with anyio.CancelScope() as scope:

        async def stop(progress, total, message):
            scope.cancel()

        await client.call_tool("endless", {}, progress_callback=stop)
    return scope.cancelled_caught


async def walk(url, key, mode):
    headers = {"Authorization": f"Bearer {key}"}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            steps = []

            async def follow(progress, total, message):
                steps.append([int(progress), int(total)])

            report = {"revision": client.protocol_version, "tools": await all_tools(client)}
            echoed = await client.call_tool("echo", {"message": "grüße"})
            report["echo"] = echoed.content[0].text
            stepped = await client.call_tool("steps", {}, progress_callback=follow)
            report["steps"], report["stepped"] = steps, stepped.content[0].text
            failed = await client.call_tool("fail", {})
            report["failed"] = [failed.is_error, failed.content[0].text]
            report["cancelled"] = await cancelled(client)
            after = await client.call_tool("echo", {"message": "still there"})
            report["after"] = after.content[0].text
            return report


print(json.dumps(asyncio.run(walk(*sys.argv[1:4]))))
