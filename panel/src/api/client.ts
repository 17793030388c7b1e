/**
 * The service's API, by the types of its own OpenAPI document.
 *
 * Contract: every call goes through {@link ask}, which returns what was asked for or throws a {@link Problem} whose `message` can be shown as it
 * is, in the language of the page.
 */
import createClient, { type Middleware } from 'openapi-fetch';
import { i18n, t } from '@/i18n';
import type { components, paths } from './schema';

/** How long an answer may take, in milliseconds, before there is taken to be none. */
const ANSWER_MS = 15_000;
/** The same for whole tables, which take the service longer, and longer to carry. */
const TABLE_ANSWER_MS = 120_000;

/** A schema of the document by its name. */
export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name];

/** What the API answered instead of what was asked for; `code` is what to branch on. */
export class Problem extends Error {
  constructor(
    /** The API's code; `unreachable` where there was no answer. */
    readonly code: string,
    message: string,
    readonly status = 0,
    /** The field at fault. */
    readonly field?: string,
    /** What some codes add: see `Problem` in the document. */
    readonly more: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  /** Whether the same request may succeed a moment later. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }

  /** Whether what was asked for is known not to be done: without an answer, or after a fault, it may be. */
  get isRefusal(): boolean {
    return !this.isPassing && this.status < 500;
  }
}

/** Who calls: the token of the moment, and what happens when one is no longer good, or does not permit what was asked for. */
export interface Bearer {
  token(): string | undefined;
  refused(token: string): void;
  forbidden?(): void;
}

/** A client whose requests carry the bearer's token and the language of the page. */
export function client(bearer: Bearer) {
  const identify: Middleware = {
    onRequest({ request, schemaPath }) {
      const token = bearer.token();
      // Who logs in shows none: a wrong password says nothing against the session there is.
      if (token !== undefined && !schemaPath.endsWith('/sessions'))
        request.headers.set('Authorization', `Bearer ${token}`);
      request.headers.set('Accept-Language', i18n.global.locale.value);
      return request;
    },
    onResponse({ request, response }) {
      const token = request.headers.get('Authorization')?.slice('Bearer '.length);
      if (token === undefined) return;
      if (response.status === 401) bearer.refused(token);
      if (response.status === 403) bearer.forbidden?.();
    },
  };
  const made = createClient<paths>({ baseUrl: window.location.origin, fetch: send });
  made.use(identify);
  return made;
}

/** Sends it, and gives up when the answer takes too long. `fetch` is looked up at each call, so that what replaces it later is used. */
function send(request: Request): Promise<Response> {
  const limit = AbortSignal.timeout(
    /\/(export|import)$/.test(new URL(request.url).pathname) ? TABLE_ANSWER_MS : ANSWER_MS,
  );
  return fetch(request, { signal: AbortSignal.any([request.signal, limit]) });
}

/** Any answer of the client. */
interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was asked for. @throws Problem */
export async function ask<T>(answer: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>;
  try {
    got = await answer;
  } catch (cause) {
    // Who called it off knows; what took too long ends with a `TimeoutError`.
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new Problem('unreachable', t('common.unreachable'));
  }
  if (!got.response.ok) throw problem(got.response.status, got.error);
  return got.data as T;
}

/** The problem that a body tells of; proxies in between may send any other. */
export function problem(status: number, body: unknown): Problem {
  if (typeof body === 'object' && body !== null && 'code' in body && 'detail' in body) {
    const { code, detail, field, ...more } = body as Schema<'Problem'>;
    return new Problem(code, detail, status, field ?? undefined, more);
  }
  return new Problem('unknown', t('common.failed', { status }), status);
}

/** A key that makes a request count once. Pages that came without TLS have no `crypto.randomUUID`. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
