/**
 * The real service with a private PostgreSQL, as `make run` starts it.
 *
 * Contract: what {@link Service.start} began, {@link Service.end} stops and removes; in between it holds the promises against the database.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Restaurant } from './restaurant';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BINARY =
  process.env['ROWLOCK_BINARY'] ?? resolve(ROOT, process.env['CARGO_TARGET_DIR'] ?? 'target', 'debug/rowlock');
const START_MS = 60_000;

export class Service {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private readonly settings: Readonly<Record<string, string>>,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts one; settings are variables such as `ROWLOCK_EVENTS_POLL_MS`. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Service> {
    if (!existsSync(BINARY))
      throw new Error(`${BINARY} is missing: run cargo build, or name another in ROWLOCK_BINARY`);
    const folder = mkdtempSync(join(tmpdir(), 'rowlock-panel-'));
    // Where root runs this, PostgreSQL is another user's, who must get at its part of it.
    chmodSync(folder, 0o755);
    const service = new Service(folder, await freePort(), settings);
    await service.begin();
    return service;
  }

  /** Starts it, again after {@link stop} or {@link kill}, with the data and the address it had. */
  async begin(): Promise<void> {
    const log = openSync(join(this.folder, 'log'), 'a');
    const begun = spawn(BINARY, ['serve'], { cwd: this.folder, env: this.environment(), stdio: ['ignore', log, log] });
    closeSync(log);
    this.process = begun;
    const until = Date.now() + START_MS;
    while (!(await this.isReady())) {
      if (begun.exitCode !== null || Date.now() > until) throw new Error(`the service does not start:\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Stops it as an operator does, and sees that it ends well. */
  async stop(): Promise<void> {
    const code = await this.signal('SIGTERM');
    if (code !== 0) throw new Error(`the service ended with ${code}:\n${this.log()}`);
  }

  /** Ends it without a warning. */
  async kill(): Promise<void> {
    await this.signal('SIGKILL');
  }

  /** Stops the service, holds the promises against the database, and removes what it had. */
  async end(): Promise<void> {
    try {
      await this.stop();
      await this.command(['audit']);
    } finally {
      await this.signal('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** Another restaurant, with the demo's menu, or with so many goods, and without staff. */
  async restaurant(goods?: number): Promise<Restaurant> {
    const said = await this.command(goods === undefined ? ['seed'] : ['seed', '--goods', String(goods)]);
    return new Restaurant(this, Number(/merchant (\d+)/.exec(said)?.[1]));
  }

  /** The restaurant that every service has, with its staff. */
  demo(): Restaurant {
    return new Restaurant(this, 1, 'rowlock-demo');
  }

  /** Runs another command on the same data, and gives what it printed; throws where it fails. */
  command(args: string[], input = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const run = execFile(BINARY, args, { cwd: this.folder, env: this.environment() }, (error, out, err) => {
        if (error === null) resolve(out);
        else reject(new Error(`rowlock ${args.join(' ')} failed:\n${out}${err}`));
      });
      run.stdin?.end(input);
    });
  }

  /** Where the private PostgreSQL listens, for those who fill it with more than the API takes in a minute. */
  get dataFolder(): string {
    return join(this.folder, 'data');
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  private async signal(signal: NodeJS.Signals): Promise<number | null> {
    const running = this.process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return null;
    const ended = once(running, 'exit');
    running.kill(signal);
    await ended;
    return running.exitCode;
  }

  private async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** Nothing of the surroundings but what programs need: a DATABASE_URL would lead to somebody's data. */
  private environment(): NodeJS.ProcessEnv {
    const { PATH, HOME, LANG } = process.env;
    return {
      PATH,
      HOME,
      LANG,
      ROWLOCK_HTTP_PORT: String(this.port),
      ROWLOCK_DATA_DIR: this.dataFolder,
      ROWLOCK_LOG_FILTER: 'warn',
      ...this.settings,
    };
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  return address.port;
}
