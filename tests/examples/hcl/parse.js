// A Terraform file as JSON, as HashiCorp's own parser of the language understands it.
const { readFileSync } = require("node:fs");
const { parse } = require("@cdktf/hcl2json");

const [path] = process.argv.slice(2);
parse(path, readFileSync(path, "utf8")).then((parsed) => console.log(JSON.stringify(parsed, null, 1)));
