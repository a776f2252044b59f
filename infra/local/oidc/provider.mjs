// A real OpenID provider (oidc-provider) on loopback, for tests/e2e/oidc.rs: two programs, people by name, fresh keys.
//
// The name typed at the log-in says who it is: see `people`. Any password will do. It prints one line when it listens.
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;

const people = {
  admin: { groups: ["everybody", "billing-admins"] },
  books: { groups: ["billing-finance"] },
  viewer: { groups: ["billing-viewers"] },
  nobody: { groups: ["everybody"] },
  both: { groups: ["billing-admins"], tenantId: "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV" },
};

/** `tenant-ten_...` is a tenant's person, every other name one of `people`. */
function person(name) {
  return name.startsWith("tenant-") ? { tenantId: name.slice("tenant-".length) } : people[name];
}

function key(kid, alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" };
}

function program(name, alg) {
  return {
    client_id: name,
    token_endpoint_auth_method: "none",
    redirect_uris: [`https://${name}.example/callback`],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    id_token_signed_response_alg: alg,
  };
}

const provider = new Provider(issuer, {
  clients: [program("staff-portal", "RS256"), program("tenant-portal", "ES256"), program("wiki", "RS256")],
  jwks: {
    keys: [
      key("rsa-1", "RS256", "rsa", { modulusLength: 2048 }),
      key("ec-1", "ES256", "ec", { namedCurve: "P-256" }),
    ],
  },
  claims: { openid: ["sub", "groups", "tenantId"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["cookies of a test"] },
  ttl: { IdToken: 600, AccessToken: 600, AuthorizationCode: 60, Session: 600, Grant: 600, Interaction: 600 },
  findAccount: (_context, id) => person(id) && { accountId: id, claims: () => ({ sub: id, ...person(id) }) },
});

const server = provider.listen(port, "127.0.0.1", () => console.log(`listening on ${issuer}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeAllConnections(); // those kept alive would hold it open
});
