"""The page of `vidjax demo`: drop a video, and see what a model sees in it. Needs gradio (extra `demo`)."""
