"""Classify a video, or embed a folder of videos, as users of PyTorch do; run as a script, without vidjax.

`python torch_script.py predict MODEL VIDEO`, `pipeline MODEL VIDEO` or `embed MODEL FOLDER FILE`, where MODEL is a
folder with a transformers VideoMAE. Clips are taken as for VideoMAE's Kinetics checkpoints: every 4th frame, around the
middle of the video.
"""

import json
import os
import sys

STRIDE = 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 8  # clips that are embedded together


def read_clip(path, num_frames, size):
    """Decode a video up to the last wanted frame, resize the short side, crop the centre, and normalise: (t 3 h w)."""
    import av
    import numpy as np
    import torch

    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        first = STRIDE * max((-(-stream.frames // STRIDE) - num_frames) // 2, 0)
        wanted = range(first, first + STRIDE * num_frames, STRIDE)
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number >= wanted[-1]:
                break
    clip = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255
    height, width = clip.shape[2:]
    short = min(height, width)
    sides = (round(height * size / short), round(width * size / short))
    clip = torch.nn.functional.interpolate(clip, sides, mode="bilinear")
    top, left = (sides[0] - size) // 2, (sides[1] - size) // 2
    clip = clip[:, :, top : top + size, left : left + size]
    return (clip - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def load(folder):
    """Load the classifier in a folder, in evaluation mode."""
    from transformers import VideoMAEForVideoClassification

    return VideoMAEForVideoClassification.from_pretrained(folder).eval()


def predict(folder, video):
    """Return the five most probable classes of a video."""
    import torch

    model = load(folder)
    with torch.inference_mode():
        clip = read_clip(video, model.config.num_frames, model.config.image_size)
        best = model(clip[None]).logits[0].softmax(-1).topk(5)
    labels = model.config.id2label
    found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [{"label": labels[number], "probability": value} for number, value in found]


def pipeline(folder, video):
    """Return the five most probable classes by transformers' pipeline, whose clip is the beginning of the video."""
    import transformers

    answer = transformers.pipeline("video-classification", model=folder)
    found = answer(video, frame_sampling_rate=STRIDE, top_k=5)
    return [{"label": line["label"], "probability": line["score"]} for line in found]


def embed(folder, videos, file):
    """Write the normalised mean token of one clip of each video, (n d), and return the videos' names."""
    import numpy as np
    import torch

    model, pooled = load(folder), []
    names = sorted(os.listdir(videos))
    with torch.inference_mode():
        for start in range(0, len(names), BATCH):
            paths = [os.path.join(videos, name) for name in names[start : start + BATCH]]
            clips = [read_clip(path, model.config.num_frames, model.config.image_size) for path in paths]
            tokens = model.videomae(torch.stack(clips)).last_hidden_state
            pooled.append(model.fc_norm(tokens.mean(1)).numpy())
    np.save(file, np.concatenate(pooled))
    return names


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps({"predict": predict, "pipeline": pipeline, "embed": embed}[what](*arguments)))
