/**
 * The merchant's events, as they happen.
 *
 * Contract: every event after the number that {@link Feed.start} was given reaches `event` once and in order, or `reset` is called, after which
 * whoever listens loads everything anew. A stream is preferred; while there is none, a poll stands in for it.
 */
import { EventSourceParserStream, type EventSourceMessage } from 'eventsource-parser/stream';
import { ask, problem, type Schema } from '@/api/client';
import { language } from '@/i18n';
import { api, merchant, session } from '@/session';

export type FeedState = 'connecting' | 'live' | 'polling' | 'reconnecting';
export type MerchantEvent = Schema<'EventView'>;

export interface Listener {
  event(event: MerchantEvent): void;
  /** Events are missing: load everything. Those after the number that the feed has now come by themselves. */
  reset(): void;
  state(state: FeedState): void;
}

/** The service gives a sign of life every 15 seconds; after this long, in milliseconds, the connection is taken for dead. */
const SILENCE_MS = 40_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class Feed {
  private at: number | undefined;
  private stopped: AbortController | undefined;
  private skipWait: (() => void) | undefined;

  constructor(private readonly listener: Listener) {}

  /** The number of the newest event, from which to go on. @throws Problem */
  static async now(): Promise<number> {
    const page = await ask(api.GET('/v1/admin/merchants/{m}/events/page', { params: { path: { m: merchant() } } }));
    return page.next_after;
  }

  /** Follows the events after `at` until {@link stop}. */
  start(at: number): void {
    this.stop();
    this.at = at;
    this.stopped = new AbortController();
    void this.run(this.stopped.signal);
  }

  stop(): void {
    this.stopped?.abort();
    this.stopped = undefined;
  }

  /** Tries at once what it would have waited to try. */
  hurry(): void {
    this.skipWait?.();
  }

  private async run(stopped: AbortSignal): Promise<void> {
    this.listener.state('connecting');
    for (let wait = FIRST_WAIT_MS; !stopped.aborted; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
      let wasOpen = false;
      try {
        await this.stream(stopped, () => {
          wait = FIRST_WAIT_MS;
          wasOpen = true;
        });
      } catch {
        // Why it ended makes no difference: it is begun again.
      }
      if (stopped.aborted) return;
      // Nothing is live until the poll has its answer, which may take long.
      if (wasOpen) this.listener.state('reconnecting');
      this.listener.state((await this.poll()) ? 'polling' : 'reconnecting');
      await this.pause(wait * (0.5 + Math.random() / 2), stopped);
    }
  }

  /** Reads a stream to its end. */
  private async stream(stopped: AbortSignal, opened: () => void): Promise<void> {
    const own = new AbortController();
    const cut = () => own.abort();
    stopped.addEventListener('abort', cut);
    let timer = window.setTimeout(cut, SILENCE_MS);
    const heard = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(cut, SILENCE_MS);
    };
    try {
      const headers = {
        Authorization: `Bearer ${session.kept?.token ?? ''}`,
        'Accept-Language': language(),
        'Last-Event-ID': String(this.at),
      };
      const path = `/v1/admin/merchants/${merchant()}/events`;
      const answer = await fetch(path, { headers, signal: own.signal, cache: 'no-store' });
      if (!answer.ok || answer.body === null) throw problem(answer.status, undefined);
      this.listener.state('live');
      opened();
      const listen = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, out) {
          heard();
          out.enqueue(chunk);
        },
      });
      const messages = answer.body
        .pipeThrough(listen)
        .pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
        .pipeThrough(new EventSourceParserStream());
      const reader = messages.getReader();
      for (let next = await reader.read(); !next.done; next = await reader.read()) await this.take(next.value);
    } finally {
      window.clearTimeout(timer);
      stopped.removeEventListener('abort', cut);
    }
  }

  private async take({ id, event, data }: EventSourceMessage): Promise<void> {
    const seq = Number(id);
    if (event === 'reset') {
      this.at = seq;
      this.listener.reset();
    } else if (event !== 'hello') {
      // Numbers have no gaps: what is between has been lost on the way, and is asked for before what came after it is passed on.
      if (this.at !== undefined && seq > this.at + 1 && !(await this.poll())) throw new Error('events are missing');
      this.pass(JSON.parse(data) as MerchantEvent);
    }
  }

  /** What was told before is not told again, whatever is sent twice. */
  private pass(event: MerchantEvent): void {
    if (this.at !== undefined && event.seq <= this.at) return;
    this.at = event.seq;
    this.listener.event(event);
  }

  /** Asks once for what happened since. Whether there was an answer. */
  private async poll(): Promise<boolean> {
    try {
      const query = { after: this.at ?? 0, limit: 500 };
      const page = await ask(
        api.GET('/v1/admin/merchants/{m}/events/page', { params: { path: { m: merchant() }, query } }),
      );
      page.items.forEach((event) => this.pass(event));
      if (page.is_reset) {
        this.at = page.next_after;
        this.listener.reset();
      }
      return true;
    } catch {
      return false;
    }
  }

  private pause(ms: number, stopped: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        window.clearTimeout(timer);
        this.skipWait = undefined;
        resolve();
      };
      const timer = window.setTimeout(done, ms);
      this.skipWait = done;
      stopped.addEventListener('abort', done, { once: true });
    });
  }
}
