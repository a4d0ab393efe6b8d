// node validate.mjs FILE...: what the Khronos validator says of glTF files, as one JSON list.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import validator from "gltf-validator";

const reports = [];
for (const file of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(file)), { uri: basename(file), maxIssues: 20 });
  reports.push({ file, issues: report.issues, info: report.info });
}
console.log(JSON.stringify(reports));
