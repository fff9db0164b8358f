export * as MovingImage from "./MovingImage.ts"
export * as MovingImageError from "./MovingImageError.ts"
export * as MovingImageOpenId from "./MovingImageOpenId.ts"
