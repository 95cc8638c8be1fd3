import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

// The house is a line: each room may import only from those before it. The first four know no React.
const rooms = ["words", "protocol", "document", "run", "ui", "state", "widgets", "canvas", "panels", "app"];
const pure = ["words", "protocol", "document", "run"];

const zones = rooms.map((room, index) => ({
  files: [`src/${room}/**/*.{ts,tsx}`],
  rules: {
    "no-restricted-imports": [
      "error",
      {
        patterns: [
          ...rooms
            .slice(index + 1)
            .map((later) => ({ regex: `(^|/)${later}/`, message: `${room} stands before ${later}: it may not import it` })),
          ...(pure.includes(room)
            ? [{ regex: "^(react|react-dom|@xyflow/react|zustand)(/|$)", message: `${room} knows no React` }]
            : []),
        ],
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ["dist", "node_modules"] },
  ...tseslint.configs.strict,
  hooks.configs.flat["recommended-latest"],
  {
    rules: {
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      eqeqeq: "error",
    },
  },
  ...zones,
);
