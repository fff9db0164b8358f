/** A page of 100 videos, as api.video's OpenAPI file has one. */

const video = (index: number) => {
  const videoId = `vi4blUQJFrYWbaG44NChkH${String(index).padStart(2, "0")}`
  const player = `https://embed.api.video/vod/${videoId}`
  const files = `https://cdn.api.video/vod/${videoId}`
  return {
    videoId,
    playerId: "pl45KFKdlddgk654dspkze",
    title: `Maths video ${index}`,
    description: "An amazing video explaining the string theory",
    language: "en",
    languageOrigin: "api",
    public: false,
    panoramic: false,
    mp4Support: true,
    tags: ["maths", "string theory", "video"],
    metadata: [
      { key: "Author", value: "John Doe" },
      { key: "Format", value: "Tutorial" }
    ],
    createdAt: "2019-12-16T08:25:51+00:00",
    publishedAt: "2019-12-16T08:25:51+00:00",
    updatedAt: "2019-12-16T08:48:49+00:00",
    discarded: false,
    discardedAt: null,
    deletesAt: null,
    source: { uri: `/videos/${videoId}/source` },
    assets: {
      iframe: `<iframe src="${player}" width="100%" height="100%" frameborder="0" scrolling="no"></iframe>`,
      player,
      hls: `${files}/hls/manifest.m3u8`,
      thumbnail: `${files}/thumbnail.jpg`,
      mp4: `${files}/mp4/source.mp4`
    }
  }
}

export const page = JSON.stringify({
  data: Array.from({ length: 100 }, (_, index) => video(index)),
  pagination: {
    currentPage: 1,
    pageSize: 100,
    pagesTotal: 1,
    itemsTotal: 100,
    currentPageItems: 100,
    links: [{ rel: "self", uri: "/videos?currentPage=1&pageSize=100" }]
  }
})

export const lastTitle = "Maths video 99"
