"""Public checkpoints in and out: hub ids, folders, `.safetensors`, `.pth`, msgpack, and vidjax runs."""
