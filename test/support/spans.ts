import { Tracer } from "effect"

/** A tracer that keeps the spans it is told of, in the order in which they began. */
export const keepingSpans = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}
