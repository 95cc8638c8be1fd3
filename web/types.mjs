// Makes src/protocol/generated.ts from openapi.json, which the server's own code wrote (`make docs`).
//   node types.mjs          write it (npm run types)
//   node types.mjs --check  end with 1 when it is not what openapi.json says
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import openapi, { astToString } from "openapi-typescript";
import ts from "typescript";

const target = join(import.meta.dirname, "src/protocol/generated.ts");
const { openapi: version, info, components } = JSON.parse(readFileSync(join(import.meta.dirname, "openapi.json"), "utf8"));
// A source holds sources, and TypeScript cannot say so by an index into the type itself: to the editor it is any JSON.
const schemas = { ...components.schemas, WorkflowSource: {} };
// Of the paths the editor needs nothing but what they carry.
const types = await openapi({ openapi: version, info, paths: {}, components: { schemas } });

// Where the description says nothing, it is JSON all the same.
const json = (node) =>
  node.kind === ts.SyntaxKind.UnknownKeyword ? ts.factory.createTypeReferenceNode("Json") : ts.visitEachChild(node, json, undefined);
const head = `/** Made by types.mjs from openapi.json: \`npm run types\`. The source is engine/server/shapes. */

import type { Json } from "./json";

`;
const text = head + astToString(types.filter((node) => node.name?.text === "components").map(json));
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/protocol/generated.ts is not what openapi.json says: run `npm run types`");
    process.exit(1);
  }
} else writeFileSync(target, text);
