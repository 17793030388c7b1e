/**
 * What every test has: a restaurant of its own at the real service, and browsers that are at its staff's hands.
 *
 * Contract: a test fails for whatever a browser complains of (errors and warnings of the console, errors of the page, answers that are refusals,
 * requests without an answer, violations of the content-security policy), unless the test announced it; and for what it announced in vain.
 */
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test as base, type BrowserContext, type BrowserContextOptions, type Page } from '@playwright/test';
import { Service } from './service';
import type { Restaurant, Role } from './restaurant';
import { Wire } from './wire';

export { expect };
export * from './restaurant';
export { Service } from './service';
export { Stream, Wire } from './wire';

interface Options {
  /** Where the panel is reached; the service itself where nothing else is said. */
  url?: string;
  language?: 'en' | 'zh';
  viewport?: { width: number; height: number };
  /** Whether it is a tablet: `page.touchscreen`. */
  hasTouch?: boolean;
  /** Runs before anything of the panel does. */
  before?: () => void;
  /** The restaurant, should it be another than the test's own. */
  of?: Restaurant;
  /** Whether the test moves the browser's clock: `page.clock`. */
  isClockMoved?: boolean;
}

export class Browsers {
  private readonly troubles: string[] = [];
  private readonly announced: RegExp[] = [];
  private readonly contexts: BrowserContext[] = [];

  constructor(
    private readonly start: (options: BrowserContextOptions) => Promise<BrowserContext>,
    private readonly restaurant: Restaurant,
  ) {}

  /** Opens the panel in a browser of its own, for a member of that role who is logged in. */
  async open(role: Role, path = '/board', options: Options = {}): Promise<Page> {
    const of = options.of ?? this.restaurant;
    const { token } = await of.staff(role);
    const page = await this.visit(`/admin${path}`, {
      ...options,
      kept: { 'rowlock.session': JSON.stringify({ merchant: of.id, token }) },
    });
    await expect(page.getByTestId('live')).toHaveAttribute('data-state', /./);
    return page;
  }

  /** Opens a page in a browser of its own, for somebody who has never been there, but for what is kept of them. */
  async visit(path: string, options: Options & { kept?: Readonly<Record<string, string>> } = {}): Promise<Page> {
    const { url, language = 'en', viewport, hasTouch = false, before, kept = {}, isClockMoved = false } = options;
    const context = await this.start(viewport === undefined ? { hasTouch } : { hasTouch, viewport });
    this.contexts.push(context);
    if (isClockMoved) await context.clock.install();
    // Kept once: what the panel forgets or replaces itself stays so when the page is loaded again.
    await context.addInitScript(
      (entries) => {
        if (localStorage.getItem('test.kept') !== null) return;
        localStorage.setItem('test.kept', 'yes');
        entries.forEach(([name, value]) => localStorage.setItem(name, value));
      },
      Object.entries({ 'rowlock.language': language, ...kept }),
    );
    await context.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (of) =>
        // eslint-disable-next-line no-console -- what the browser complains of is gathered from there
        console.error(`the policy forbids ${of.blockedURI || 'inline'} by ${of.effectiveDirective}`),
      ),
    );
    if (before !== undefined) await context.addInitScript(before);
    const page = await context.newPage();
    this.watch(page);
    await page.goto(`${url ?? this.restaurant.service.url}${path}`);
    return page;
  }

  /** Announces what a browser is going to complain of: `409 POST /v1/…`, `console error: …`, `no answer GET /v1/…`. */
  announce(...patterns: RegExp[]): void {
    this.announced.push(...patterns);
  }

  /** Closes them, before what they talk to goes away. */
  async close(): Promise<void> {
    await Promise.all(this.contexts.splice(0).map((context) => context.close()));
  }

  /** What was complained of without being announced, and announced without being complained of. */
  async end(): Promise<string[]> {
    await this.close();
    const unannounced = this.troubles.filter((trouble) => !this.announced.some((pattern) => pattern.test(trouble)));
    const vain = this.announced.filter((pattern) => !this.troubles.some((trouble) => pattern.test(trouble)));
    return [...unannounced, ...vain.map((pattern) => `did not come: ${pattern.source}`)];
  }

  private watch(page: Page): void {
    page.on('console', (said) => {
      const isLoad = said.text().startsWith('Failed to load resource');
      // What did not load is told of below, with what was asked for.
      if (!isLoad && ['error', 'warning'].includes(said.type())) this.trouble(`console ${said.type()}: ${said.text()}`);
    });
    page.on('pageerror', (error) => this.trouble(`page error: ${error.message}`));
    page.on('response', (answer) => {
      const { pathname } = new URL(answer.url());
      if (answer.status() >= 400) this.trouble(`${answer.status()} ${answer.request().method()} ${pathname}`);
    });
    page.on('requestfailed', (request) => {
      // Whoever leaves a page or hangs up a stream aborts what is under way.
      const why = request.failure()?.errorText ?? '';
      const { pathname } = new URL(request.url());
      if (why !== 'net::ERR_ABORTED') this.trouble(`no answer ${request.method()} ${pathname}: ${why}`);
    });
  }

  private trouble(what: string): void {
    this.troubles.push(what);
  }
}

interface OfWorker {
  service: Service;
}

interface OfTest {
  restaurant: Restaurant;
  browsers: Browsers;
  /** A wire to the service that the test may cut. */
  wire: Wire;
}

export const test = base.extend<OfTest, OfWorker>({
  service: [
    async ({}, use) => {
      const service = await Service.start({
        // Gateways are asked again after one second instead of twenty.
        ROWLOCK_GATEWAYS_CHECK_AFTER_MS: '1000',
        // Webhooks are the tests' own, and those that fail wait for somebody at once.
        ROWLOCK_WEBHOOKS_ALLOW_PRIVATE: 'true',
        ROWLOCK_WEBHOOKS_ATTEMPTS_MAX: '1',
      });
      await use(service);
      await service.end();
    },
    { scope: 'worker', timeout: 120_000 },
  ],
  restaurant: async ({ service }, use) => {
    await use(await service.restaurant());
  },
  browsers: async ({ browser, restaurant }, use) => {
    const browsers = new Browsers((options) => browser.newContext(options), restaurant);
    await use(browsers);
    expect(await browsers.end()).toEqual([]);
  },
  wire: async ({ service, browsers }, use) => {
    const wire = await Wire.to(service);
    await use(wire);
    // No browser is to see the end of it.
    await browsers.close();
    await wire.end();
  },
});

/** Nothing on the page keeps somebody from using it who sees, hears or points badly. */
export async function expectAccessible(page: Page): Promise<void> {
  // Colours that are on their way from one to another are neither. Vue's transitions begin two frames after what they bring in is there.
  await page.evaluate(async () => {
    const frame = () => new Promise(requestAnimationFrame);
    let moving: Animation[];
    do {
      await frame();
      await frame();
      moving = document.getAnimations().filter((moves) => moves.effect?.getComputedTiming().endTime !== Infinity);
      moving.forEach((moves) => moves.finish());
    } while (moving.length > 0);
  });
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = serious.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary ?? ''}`),
  );
  expect(told).toEqual([]);
}

/** The page fits its window, once what measures itself has followed it; lists inside it may scroll by themselves. */
export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const wider = () =>
    page.evaluate(() =>
      [document.documentElement, ...Array.from(document.querySelectorAll('main'))]
        .filter((each) => each.scrollWidth > each.clientWidth)
        .map((each) => `${each.tagName.toLowerCase()} is ${each.scrollWidth - each.clientWidth} pixels wider`),
    );
  await expect.poll(wider).toEqual([]);
}
