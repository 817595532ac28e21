"""Connects with the official Python SDK, once for each era and transport: client.py PROGRAM CONFIG URL."""

import asyncio
import sys

from mcp import Client, StdioServerParameters

VERSIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


async def check(server, mode: str, name: str) -> None:
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == VERSIONS[mode], client.protocol_version
        assert client.server_info.name == "mcp-linux-infra", client.server_info
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {"list_hosts", "diagnose_system", "propose_pra_action"} <= tools, tools
        result = await client.call_tool("list_hosts", {})
        assert not result.is_error and "web01" in result.content[0].text, result
        assert result.structured_content["hosts"][0]["name"] == "web01", result
    print(f"ok: Python SDK, {name}, {VERSIONS[mode]}")



async def main(program: str, config: str, url: str) -> None:
    for mode in VERSIONS:
        stdio = StdioServerParameters(command=program, args=["--config", config, "serve"])
        await check(stdio, mode, "stdio")
        await check(url, mode, "HTTP")


asyncio.run(main(*sys.argv[1:]))
