// Worker for pages that are read from disk, where a browser starts none: a script in a frame of its own.
// The search needs it. A page that a server sends keeps the browser's Worker.

if (location.protocol === "file:") {
  window.Worker = class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = this.onerror = this.onmessageerror = null
      this.isReady = false
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.documentElement.append(this.frame)
      this.scope = this.frame.contentWindow
      this.scope.postMessage = (data) => this.tell("message", { data })
      const script = this.scope.document.createElement("script")
      script.onload = () => {
        this.isReady = true
        this.waiting.forEach((data) => this.deliver(data))
      }
      script.onerror = () => this.tell("error", {})
      script.src = new URL(url, location.href).href
      this.scope.document.head.append(script)
    }

    postMessage(data) {
      this.isReady ? this.deliver(data) : this.waiting.push(data)
    }

    terminate() {
      this.frame.remove()
    }

    deliver(data) {
      setTimeout(() => this.scope.dispatchEvent(new this.scope.MessageEvent("message", { data })))
    }

    tell(type, init) {
      const event = new MessageEvent(type, init)
      setTimeout(() => {
        this["on" + type]?.(event)
        this.dispatchEvent(event)
      })
    }
  }
}
