// Requests that outlive a lost connection: the one under way is sent again until it is answered.

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const UNREACHABLE = [502, 503, 504];

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

  // Whoever has no answer after `patience` milliseconds is cut off as well.
  post(path, content = {}, patience = 15_000) {
    return this.send(path, { method: "POST", body: JSON.stringify(content) }, { patience });
  }

  async image(path) {
    const blob = await this.send(path, {}, { read: (response) => response.blob() });
    return createImageBitmap(blob).catch(() => {
      throw new Refused("the browser cannot show this image", "refused");
    });
  }

  // For what is not worth a second try: null unless it is answered at once.
  async ask(path, content, signal) {
    return (await this.once(path, { method: "POST", body: JSON.stringify(content), signal }))?.content ?? null;
  }

  async send(path, options = {}, { read, patience = 120_000 } = {}) {
    for (let wait = 250; ; wait = Math.min(2 * wait, 3000)) {
      const answer = await this.once(path, { ...options, signal: AbortSignal.timeout(patience) }, read);
      this.tell(Boolean(answer));
      if (answer?.refusal) throw answer.refusal;
      if (answer) return answer.content;
      await sleep(wait);
    }
  }

  // What the server says, to its last byte; null if it does not.
  async once(path, options, read = (response) => response.json()) {
    const headers = { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" };
    try {
      const response = await fetch(path, { ...options, headers });
      if (UNREACHABLE.includes(response.status)) return null;
      if (response.ok) return { content: await read(response) };
      const { error, kind } = await response.json();
      return { refusal: new Refused(error, kind) };
    } catch {
      return null;
    }
  }

  tell(connected) {
    if (connected === this.connected) return;
    this.connected = connected;
    this.onChange(connected);
  }
}
