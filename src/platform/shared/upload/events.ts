/** An upload as a stream of what happens. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { UploadEvent } from "../../Upload.ts"

/** Runs an upload, and emits what it emits. The stream ends with `Completed`, or fails. */
export const eventsOf = <Video, E, R>(
  upload: (emit: (event: UploadEvent<Video>) => Effect.Effect<void>) => Effect.Effect<Video, E, R>
): Stream.Stream<UploadEvent<Video>, E, R> =>
  Stream.callback<UploadEvent<Video>, E, R>((queue) => {
    const emit = (event: UploadEvent<Video>) => Effect.asVoid(Queue.offer(queue, event))
    return upload(emit).pipe(
      Effect.flatMap((video) => emit({ _tag: "Completed", video })),
      Effect.matchCauseEffect({
        onFailure: (cause: Cause.Cause<E>) => Queue.failCause(queue, cause),
        onSuccess: () => Queue.end(queue)
      })
    )
  })
