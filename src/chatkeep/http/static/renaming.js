// Renaming in place: in the list, or in the head of a session. One title is renamed at a time.

import { html, useLayoutEffect, useRef } from "./vendor/preact.js";
import * as api from "./api.js";
import { Model, useModel } from "./model.js";
import { sessions } from "./sessions.js";

class Renaming extends Model {
  row = null;
  place = null; // "list" or "head"
  text = "";
  problem = null;

  isAt(place, row) {
    return this.place === place && this.row?.id === row.id;
  }

  begin(place, row) {
    Object.assign(this, { place, row, text: row.user_title ?? row.title, problem: null });
    this.changed();
  }

  end() {
    Object.assign(this, { place: null, row: null, problem: null });
    this.changed();
  }

  write(text) {
    Object.assign(this, { text, problem: null });
    this.changed();
  }

  /** Asks the server; refused, the text stays and it is said why. */
  async save() {
    const { row, text } = this;
    const title = text.trim();
    if (title === row.title) return this.end();
    const before = sessions.find(row.id)?.title;
    try {
      const detail = await api.reviseSession(row.id, { title: title || null });
      const now = sessions.find(row.id);
      const isToldSince = now?.title !== before; // by the feed: this title, or one that is newer
      if (now && !isToldSince) sessions.put({ ...now, title: detail.title, user_title: detail.user_title });
      if (this.row?.id === row.id) this.end();
    } catch (error) {
      if (this.row?.id !== row.id) return;
      this.problem = error.message;
      this.changed();
    }
  }
}

export const renaming = new Renaming();

/** The title as a field: Enter saves, Escape leaves it as it was, and so does leaving it unchanged. */
export function TitleField() {
  const { row, text, problem } = useModel(renaming);
  const field = useRef();
  useLayoutEffect(() => {
    const home = renaming.place === "list" ? `.row[data-key="${CSS.escape(row.id)}"] a` : ".rename";
    field.current.focus();
    field.current.select();
    return () => requestAnimationFrame(() => document.activeElement === document.body && document.querySelector(home)?.focus());
  }, []);
  const keys = (event) => {
    if (event.key === "Escape") renaming.end();
    else if (event.key === "Enter" && !event.isComposing) renaming.save();
    else return;
    event.preventDefault();
  };
  const leave = () =>
    queueMicrotask(() => {
      const isLeft = document.activeElement !== field.current; // a row that is moved gets its focus back
      if (isLeft && renaming.row === row && text === (row?.user_title ?? row?.title)) renaming.end();
    });
  return html`
    <input
      class="title-field" aria-label="Title" aria-invalid=${problem ? "true" : undefined} aria-describedby=${problem ? "title-problem" : undefined}
      placeholder="Empty: named by its first message" autocomplete="off" dir="auto" ref=${field} value=${text}
      onInput=${(event) => renaming.write(event.target.value)} onKeyDown=${keys} onBlur=${leave}
    />
    ${problem && html`<span id="title-problem" class="title-problem" role="alert">${problem}</span>`}
  `;
}
