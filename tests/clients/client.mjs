// Connects with the official TypeScript SDK, once for each era and transport: client.mjs PROGRAM CONFIG URL.
// Version 1 of the SDK speaks the older protocol, version 2 both.

import assert from 'node:assert';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [program, config, url] = process.argv.slice(2);
const command = { command: program, args: ['--config', config, 'serve'] };
const me = { name: 'typescript-client', version: '1' };

async function check(name, client, transport, version) {
  await client.connect(transport);
  assert.equal(client.getServerVersion()?.name, 'mcp-linux-infra');
  if (version) assert.equal(client.getNegotiatedProtocolVersion(), version);
  const { tools } = await client.listTools();
  for (const wanted of ['list_hosts', 'diagnose_system', 'propose_pra_action']) {
    assert(tools.some((tool) => tool.name === wanted), wanted);
  }
  const result = await client.callTool({ name: 'list_hosts', arguments: {} });
  assert(!result.isError, JSON.stringify(result));
  assert.match(result.content[0].text, /web01/);
  assert.equal(result.structuredContent.hosts[0].name, 'web01');
  await client.close();
  console.log(`ok: TypeScript SDK ${name}`);
}

await check('1, stdio, 2025-11-25', new ClientV1(me), new StdioV1(command));
await check('1, HTTP, 2025-11-25', new ClientV1(me), new HttpV1(new URL(url)));
for (const [version, mode] of [['2025-11-25', 'legacy'], ['2026-07-28', { pin: '2026-07-28' }], ['2026-07-28', 'auto']]) {
  const client = () => new Client(me, { versionNegotiation: { mode } });
  const how = `${version} (${JSON.stringify(mode)})`;
  await check(`2, stdio, ${how}`, client(), new StdioClientTransport(command), version);
  await check(`2, HTTP, ${how}`, client(), new StreamableHTTPClientTransport(new URL(url)), version);
}
