// Preact, its hooks and htm, as far as the page uses them: the one file that htm ships has no types of its own.

/** What `html` makes. */
export interface Element {
  readonly type: unknown;
  readonly props: object;
}

/** What a hook keeps from one drawing to the next; of an element, from its first drawing on. */
export interface Ref<T> {
  current: T;
}

/** An event at an element of a template: any that the page listens to. */
export type TemplateEvent = Event &
  Pick<KeyboardEvent, "key" | "shiftKey" | "isComposing"> & {
    readonly currentTarget: HTMLElement;
    readonly target: HTMLElement & { readonly value: string; readonly open: boolean; readonly form: HTMLFormElement; select(): void };
  };

/** What may end an effect. */
export type Cleanup = (() => void) | void | undefined;

export function html(texts: TemplateStringsArray, ...values: readonly unknown[]): Element;
export function render(element: Element, box: globalThis.Element): void;
export function useState<S>(initial: S): [S, (next: S | ((before: S) => S)) => void];
export function useReducer<S>(step: (state: S) => S, initial: S): [S, () => void];
export function useRef<T>(initial?: T): Ref<T>;
export function useEffect(effect: () => Cleanup, inputs?: readonly unknown[]): void;
export function useLayoutEffect(effect: () => Cleanup, inputs?: readonly unknown[]): void;
export function useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
export function useCallback<F>(callback: F, inputs: readonly unknown[]): F;
