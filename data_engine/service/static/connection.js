// Requests that outlive a lost connection: the one under way is sent again until it is answered.

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Refused extends Error {
  constructor(sentence, kind) {
    super(sentence);
    this.kind = kind;
  }
}

export class Connection {
  connected = true;

  constructor(token, onChange) {
    this.token = token;
    this.onChange = onChange;
  }

  async post(path, content = {}) {
    const response = await this.send(path, { method: "POST", body: JSON.stringify(content) });
    return response.json();
  }

  async image(path) {
    return createImageBitmap(await (await this.send(path)).blob());
  }

  async send(path, options = {}) {
    const headers = { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" };
    for (let wait = 250; ; wait = Math.min(2 * wait, 3000)) {
      const response = await fetch(path, { ...options, headers }).catch(() => null);
      if (response && ![502, 503, 504].includes(response.status)) {
        this.tell(true);
        if (response.ok) return response;
        const { error, kind } = await response.json();
        throw new Refused(error, kind);
      }
      this.tell(false);
      await sleep(wait);
    }
  }

  tell(connected) {
    if (connected === this.connected) return;
    this.connected = connected;
    this.onChange(connected);
  }
}
