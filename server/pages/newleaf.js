// Swagger UI sends the example of every parameter that it shows one for; ours are no values to try together. Those of
// optional parameters move into the description, so that a first try asks for everything.
function withoutPrefilledOptions(contract) {
  const named = (node) => (node?.$ref ? contract.components.schemas[node.$ref.split("/").pop()] : node);
  const holders = Object.values(contract.paths).flatMap((path) => [path, ...Object.values(path)]);
  const inline = holders.flatMap((holder) => holder.parameters ?? []);
  for (const parameter of [...inline, ...Object.values(contract.components.parameters)]) {
    if (parameter.$ref || parameter.required) continue;
    const { example: usual, ...schema } = named(parameter.schema);
    const example = parameter.example ?? usual;
    delete parameter.example;
    parameter.schema = schema;
    if (example !== undefined && schema.default === undefined) parameter.description += ` Example: \`${example}\``;
  }
  return contract;
}

window.addEventListener("load", async () => {
  const answer = await fetch("openapi.json");
  window.docs = SwaggerUIBundle({
    spec: withoutPrefilledOptions(await answer.json()),
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "none",
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false,
    tryItOutEnabled: false, // else Swagger UI fills in a body of its own instead of our first example
    validatorUrl: null,
  });
});
