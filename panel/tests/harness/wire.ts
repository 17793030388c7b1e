/**
 * The wire between a browser and the service, which can be cut, and on which others can talk.
 *
 * Contract: it passes on everything as it comes, until a test says otherwise.
 */
import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { components } from '../../src/api/schema';
import type { Service } from './service';

/** Answers instead of the service; false: the service is to answer. */
export type Answerer = (asked: IncomingMessage, answer: ServerResponse) => boolean;

export class Wire {
  private readonly sockets = new Set<Socket>();
  private readonly agent = new Agent({ keepAlive: true });
  private isCut = false;
  /** Who may answer instead of the service. */
  answerer: Answerer = () => false;

  private constructor(
    private readonly service: Service,
    private readonly server: Server,
  ) {}

  static async to(service: Service): Promise<Wire> {
    const server = createServer();
    const wire = new Wire(service, server);
    server.on('request', (asked, answer) => wire.pass(asked, answer));
    server.on('connection', (socket: Socket) => wire.hold(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return wire;
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('the wire is gone');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Breaks all connections, and lets none come about until it is mended. */
  cut(): void {
    this.isCut = true;
    this.drop();
  }

  mend(): void {
    this.isCut = false;
    this.answerer = () => false;
  }

  /** Breaks all connections; new ones come about. */
  drop(): void {
    this.sockets.forEach((socket) => socket.resetAndDestroy());
  }

  /** POSTs to such paths arrive, and their answers do not, until the wire is mended. (Browsers try some again by themselves.) */
  loseAnswers(isSuch: (path: string) => boolean): void {
    this.answerer = (asked, answer) => {
      if (asked.method !== 'POST' || !isSuch(asked.url?.split('?')[0] ?? '')) return false;
      const { method, url, headers } = asked;
      const on = request(`${this.service.url}${url}`, { method, headers, agent: this.agent }, (got) => {
        got.resume();
        got.on('end', () => answer.destroy());
      });
      asked.pipe(on);
      return true;
    };
  }

  async end(): Promise<void> {
    this.server.close();
    this.drop();
    this.agent.destroy();
    await once(this.server, 'close');
  }

  private hold(socket: Socket): void {
    if (this.isCut) {
      socket.resetAndDestroy();
      return;
    }
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    // Those who are cut off find out by themselves.
    socket.on('error', () => {});
  }

  private pass(asked: IncomingMessage, answer: ServerResponse): void {
    if (this.answerer(asked, answer)) return;
    const { method, url, headers } = asked;
    const on = request(`${this.service.url}${url}`, { method, headers, agent: this.agent }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      answer.flushHeaders();
      got.pipe(answer);
      got.on('error', () => answer.destroy());
    });
    on.on('error', () => answer.destroy());
    answer.on('close', () => on.destroy());
    asked.pipe(on);
  }
}

/** A stream of events of which a test says every word. */
export class Stream {
  private readonly open = new Set<ServerResponse>();
  /** The numbers from which the panel wanted to go on. */
  readonly since: number[] = [];

  /** Takes over the stream on this wire. Whoever asks by the page is given `page`, or the service's answer. */
  constructor(
    wire: Wire,
    private readonly page?: () => object,
  ) {
    wire.answerer = (asked, answer) => this.answer(asked, answer);
  }

  private answer(asked: IncomingMessage, answer: ServerResponse): boolean {
    const path = asked.url?.split('?')[0] ?? '';
    if (path.endsWith('/events')) {
      this.since.push(Number(asked.headers['last-event-id']));
      answer.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      answer.flushHeaders();
      this.open.add(answer);
      answer.on('close', () => this.open.delete(answer));
      return true;
    }
    if (path.endsWith('/events/page') && asked.url?.includes('after=') && this.page !== undefined) {
      answer.writeHead(200, { 'Content-Type': 'application/json' });
      answer.end(JSON.stringify(this.page()));
      return true;
    }
    return false;
  }

  /** Tells an event to whoever listens. */
  tell(event: Omit<components['schemas']['EventView'], 'happened_at'>): void {
    const whole = { happened_at: new Date().toISOString(), ...event };
    this.send(`id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(whole)}\n\n`);
  }

  /** Says that events up to this number are not there. */
  reset(seq: number): void {
    this.send(`id: ${seq}\nevent: reset\ndata: {"seq":${seq}}\n\n`);
  }

  /** Ends the streams that are open. */
  end(): void {
    this.open.forEach((answer) => answer.end());
  }

  get listeners(): number {
    return this.open.size;
  }

  send(text: string): void {
    if (this.open.size === 0) throw new Error('nobody listens');
    this.open.forEach((answer) => answer.write(text));
  }
}
