/**
 * The bell: it rings for each new order until somebody acknowledges it; once for one that is accepted by itself, when a customer asks where theirs
 * is, and when the session is over.
 *
 * Contract: browsers keep pages silent until they are touched; `isBlocked` says so, and {@link unblock}, called by a tap, ends it.
 */
import { computed, reactive, watch } from 'vue';
import { columns, live, OPEN_STATES, type Order } from './orders';

/** How often an order rings that nobody acknowledges, in milliseconds. */
const AGAIN_MS = 5_000;
const KEPT_AS = 'rowlock.sound';

export const ring = reactive({
  isOn: localStorage.getItem(KEPT_AS) !== 'off',
  isBlocked: false,
  /** How often it has rung. */
  count: 0,
  acknowledged: new Set<string>(),
});

let audio: AudioContext | undefined;
/** What sounds as soon as the page may: of all that was kept silent, the last. */
let due: readonly Tone[] | undefined;
let timer: number | undefined;

/** The new orders that nobody has acknowledged on this device. */
export const ringing = computed<Order[]>(() =>
  (columns.value.get('pending_accept') ?? []).filter((order) => !ring.acknowledged.has(order.id)),
);

export function acknowledge(...orders: Order[]): void {
  orders.forEach((order) => ring.acknowledged.add(order.id));
}

/** Switches the sound on or off, on this device. */
function setSound(isOn: boolean): void {
  ring.isOn = isOn;
  localStorage.setItem(KEPT_AS, isOn ? 'on' : 'off');
  if (isOn) void unblock();
}

/** What a press on the bell does: it lets the page sound where that is blocked, and switches the sound on or off otherwise. */
export function pressBell(): void {
  if (ring.isOn && ring.isBlocked) void unblock();
  else setSound(!ring.isOn);
}

/** Lets the page sound, if a tap or a key calls this or browsers allow it anyway, and sounds what is due. */
export async function unblock(): Promise<void> {
  // One that is made before the page was ever touched stays silent, and browsers complain of it.
  if (audio === undefined && navigator.userActivation?.hasBeenActive === false) {
    ring.isBlocked = true;
    return;
  }
  audio ??= new AudioContext();
  ring.isBlocked = audio.state !== 'running';
  if (ring.isBlocked) {
    await audio.resume();
    ring.isBlocked = audio.state !== 'running';
  }
  if (ring.isBlocked || due === undefined) return;
  play(audio, due);
  due = undefined;
}

watch([() => ringing.value.length > 0 && live.isLoaded, () => ring.isOn] as const, ([isDue, isOn]) => {
  window.clearInterval(timer);
  due = undefined;
  if (!isDue || !isOn) return;
  sound(NEW_ORDER);
  timer = window.setInterval(() => sound(NEW_ORDER), AGAIN_MS);
});

/** One more while it rings anyway is worth a ring of its own, at once. */
watch(
  () => ringing.value.length,
  (count, before) => {
    if (before > 0 && count > before && ring.isOn) sound(NEW_ORDER);
  },
);

/** The orders that have been there for staff since they were loaded, so that those which come in accepted can be told. */
let known: ReadonlySet<string> | undefined;

/** Where orders are accepted by themselves there is nobody who would acknowledge them: each rings once. */
watch([columns, () => live.isLoaded] as const, ([now, isLoaded]) => {
  const before = known;
  const ids = OPEN_STATES.filter((state) => state !== 'pending_payment').flatMap((state) => now.get(state) ?? []);
  known = isLoaded ? new Set(ids.map(({ id }) => id)) : undefined;
  const isNew = (now.get('accepted') ?? []).some(({ id }) => before?.has(id) === false);
  if (isLoaded && isNew && ring.isOn) sound(NEW_ORDER);
});

/** Rings once for a customer who asks. */
export function nudge(): void {
  if (ring.isOn) sound(NUDGE);
}

/** Rings once because the session is over: what comes in is no longer shown. */
export function tellEnd(): void {
  if (ring.isOn) sound(END);
}

/** Pitch in hertz, beginning and length in seconds. */
type Tone = readonly [pitch: number, begins: number, lasts: number];
const NEW_ORDER: readonly Tone[] = [
  [988, 0, 0.25],
  [784, 0.25, 0.45],
  [988, 0.8, 0.25],
  [784, 1.05, 0.6],
];
const NUDGE: readonly Tone[] = [
  [660, 0, 0.12],
  [660, 0.2, 0.12],
  [660, 0.4, 0.12],
];
const END: readonly Tone[] = [
  [660, 0, 0.3],
  [494, 0.35, 0.3],
  [330, 0.7, 0.6],
];

function sound(tones: readonly Tone[]): void {
  ring.count += 1;
  due = tones;
  void unblock();
}

function play(audio: AudioContext, tones: readonly Tone[]): void {
  const { currentTime, destination } = audio;
  for (const [pitch, begins, lasts] of tones) {
    const tone = new OscillatorNode(audio, { type: 'triangle', frequency: pitch });
    const volume = new GainNode(audio, { gain: 0 });
    const from = currentTime + begins;
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(0.5, from + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, from + lasts);
    tone.connect(volume).connect(destination);
    tone.start(from);
    tone.stop(from + lasts);
  }
}
