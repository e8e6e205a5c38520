"""The page of `vidjax demo`, where visitors drop a video and see what a model sees in it; needs the extra `demo`."""
