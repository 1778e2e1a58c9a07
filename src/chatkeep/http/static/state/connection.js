// Whether the server answers. A sign is shown while it does not, and goes when it does again.

import { Observable } from "./observable.js";

class Connection extends Observable {
  isAway = false;

  /** @param {boolean} isAway */
  tell(isAway) {
    if (this.isAway === isAway) return;
    this.isAway = isAway;
    this.changed();
  }
}

export const connection = new Connection();
