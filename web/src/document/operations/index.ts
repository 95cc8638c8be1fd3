/** What a person does to a graph, each as one command. A `scope` is "" for the workflow itself or a sub-graph's name. */

export * from "./base";
export * from "./between";
export * from "./clip";
export * from "./ends";
export * from "./frames";
export * from "./graphs";
export * from "./mends";
export * from "./nodes";
export * from "./through";
export * from "./wires";
