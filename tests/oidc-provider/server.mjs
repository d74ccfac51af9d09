// A real OpenID provider for the tests, several of them in one process: each has a port, keys, clients and people of
// its own. Prints one line with the port at which it is told what to do, and ends when its standard input does.
import { generateKeyPair, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

import Provider, { interactionPolicy } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

const HOST = '127.0.0.1';

const readBody = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
};

const answer = (response, status, type, body) => {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body);
};

const answerJson = (response, status, value) => answer(response, status, 'application/json', JSON.stringify(value));

const escape = (text) => String(text).replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);

const generateKey = async () => {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: 'RS256', use: 'sig' };
};

// Whoever signs in agrees to what the app asks for, and may be asked to choose an account first, as at Google.
const policy = () => {
  const prompts = interactionPolicy.base();
  prompts.get('consent').checks.remove('native_client_prompt');
  prompts.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);
  return prompts;
};

const loadExistingGrant = async ({ oidc }) => {
  const known = oidc.result?.consent?.grantId ?? oidc.session.grantIdFor(oidc.client.clientId);
  const grant = (known && (await oidc.provider.Grant.find(known)))
    || new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope('openid email profile');
  await grant.save();
  return grant;
};

const page = (interaction, complaint = '') => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign in at the provider</title></head>
<body>
<h1>Sign in at the provider</h1>
<p>${escape(interaction.params.client_id)} asks who you are.</p>
<p id="complaint">${escape(complaint)}</p>
<form method="post" action="/interaction/${escape(interaction.uid)}/login">
<label>Account <input name="login" autofocus autocomplete="off"></label>
<button id="sign-in">Sign in</button>
</form>
<form method="post" action="/interaction/${escape(interaction.uid)}/cancel"><button id="cancel">Cancel</button></form>
</body>
</html>`;

class House {
  static async open() {
    const house = new House();
    house.accounts = new Map();
    house.clients = new Map();
    house.store = createMemoryAdapter();
    house.keys = [await generateKey()];
    house.server = createServer((request, response) => {
      house.serve(request, response).catch((error) => answer(response, 500, 'text/plain', String(error?.stack)));
    });
    await new Promise((resolve) => { house.server.listen(0, HOST, resolve); });
    house.port = house.server.address().port;
    house.issuer = `http://${HOST}:${house.port}`;
    house.build();
    return house;
  }

  build() {
    const cookie = (name) => `${name}_${this.port}`;
    this.provider = new Provider(this.issuer, {
      adapter: (model) => this.adapter(model),
      claims: { openid: ['sub', 'hd'], email: ['email', 'email_verified'], profile: ['name'] },
      clockTolerance: 5,
      conformIdTokenClaims: false,
      cookies: {
        keys: [this.issuer],
        names: { interaction: cookie('interaction'), resume: cookie('resume'), session: cookie('session') },
      },
      features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
      findAccount: (_, sub) => this.findAccount(sub),
      interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
      jwks: { keys: this.keys },
      loadExistingGrant,
      pkce: { required: () => true },
      renderError: ({ res }, out) => { answer(res, res.statusCode, 'text/plain', `${out.error}: ${out.error_description}`); },
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 3600 },
    });
    this.provider.on('server_error', (_, error) => console.error(error));
    this.callback = this.provider.callback();
  }

  // Clients come and go while it runs, so they are looked up like everything else.
  adapter(model) {
    const stored = this.store(model);
    if (model === 'Client') stored.find = async (id) => this.clients.get(id);
    return stored;
  }

  findAccount(sub) {
    const account = [...this.accounts.values()].find((known) => known.claims.sub === sub);
    if (!account) return undefined;
    const claims = (use) => (use === 'id_token' && account.only_in_userinfo ? { sub } : account.claims);
    return { accountId: sub, claims };
  }

  async serve(request, response) {
    const [, place, uid, act] = request.url.split('?')[0].split('/');
    if (place === 'control' && request.method === 'POST') {
      answerJson(response, 200, await this.control(uid, JSON.parse((await readBody(request)) || '{}')));
    } else if (place === 'interaction') {
      await this.interact(request, response, request.method === 'POST' ? act : 'look');
    } else {
      await this.callback(request, response);
    }
  }

  async control(order, given) {
    switch (order) {
      case 'account': // { login, only_in_userinfo, claims: { sub, … } }
        this.accounts.set(given.login, given);
        return {};
      case 'client':
        this.clients.set(given.client_id, given);
        return {};
      case 'rotate': { // { keep: whether the old keys stay published }
        const key = await generateKey();
        this.keys = given.keep ? [key, ...this.keys] : [key];
        this.build();
        return { kid: key.kid };
      }
      case 'close':
        this.server.close();
        this.server.closeIdleConnections();
        return {};
      default:
        throw new Error(`no such order: ${order}`);
    }
  }

  async interact(request, response, act) {
    const interaction = await this.provider.interactionDetails(request, response);
    const form = new URLSearchParams(act === 'look' ? '' : await readBody(request));
    if (act === 'cancel') {
      const result = { error: 'access_denied', error_description: 'End-User aborted interaction' };
      await this.provider.interactionFinished(request, response, result);
      return;
    }
    const account = this.accounts.get(form.get('login'));
    if (act === 'look' || !account) {
      const complaint = act === 'look' ? '' : 'Nobody here has that name.';
      answer(response, complaint ? 422 : 200, 'text/html; charset=utf-8', page(interaction, complaint));
      return;
    }
    const result = { login: { accountId: account.claims.sub, remember: false }, select_account: {}, consent: {} };
    await this.provider.interactionFinished(request, response, result);
  }
}

const door = createServer((_, response) => {
  House.open().then(
    ({ issuer }) => answerJson(response, 200, { issuer }),
    (error) => answer(response, 500, 'text/plain', String(error?.stack)),
  );
});
door.listen(0, HOST, () => console.log(door.address().port));
process.stdin.on('end', () => process.exit()).resume();
