// A host of MCP whose person rejects whatever it is asked; a line of JSON is a question to decide.
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

async function decide({ url, key, request_id }) {
  const client = new Client({ name: "host", version: "1" }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, async () => ({
    action: "accept",
    content: { decision: "reject", text: "Not today" },
  }));
  const headers = { Authorization: `Bearer ${key}` };
  const place = new URL(`${url}/mcp`);
  await client.connect(new StreamableHTTPClientTransport(place, { requestInit: { headers } }));
  const { tools } = await client.listTools();
  const call = { name: "decide", arguments: { request_id } };
  const decided = await client.callTool(call);
  const stale = await client.callTool(call);
  await client.close();
  return [tools.length, decided.structuredContent?.decided, stale.isError];
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await decide(JSON.parse(line))));
}
