"""The flags of VideoMamba's masked pre-training scripts and their line numbers, by the name of our experiment."""

from vidjax.config.official.table import Script

_HERE = "videomamba/video_sm"

# fmt: off
PRETRAINING = {
    "videomamba_pretrain:middle": Script(
        f"{_HERE}/exp/k400/videomamba_middle_mask/run_mask_pretrain.sh", "11", 32,
        {
            "--num_sample": (24, "1"), "--flip": (26, "True"), "--mask_type": (27, "attention"),
            "--mask_ratio": (28, "0.8"), "--model": (29, "videomamba_middle_pretrain"),
            "--clip_teacher": (30, "clip_b16"), "--clip_loss_ratio": (31, "1"), "--clip_loss_type": (32, "l2"),
            "--clip_decoder_embed_dim": (33, "576"), "--clip_output_dim": (34, "512"), "--clip_norm_type": (35, "l2"),
            "--clip_return_layer": (36, "1"), "--clip_return_interval": (37, "1"),
            "--clip_student_return_interval": (38, "1"), "--clip_return_cls": (39, "True"),
            "--clip_return_attn": (40, "True"), "--tubelet_size": (41, "1"), "--lr": (42, "1.5e-4"),
            "--drop_path": (43, "0.4"), "--batch_size": (44, "64"), "--num_segments": (45, "8"),
            "--num_frames": (46, "8"), "--sampling_rate": (47, "1"), "--opt": (49, "adamw"),
            "--opt_betas[0]": (50, "0.9"), "--opt_betas[1]": (50, "0.95"), "--warmup_epochs": (51, "40"),
            "--epochs": (53, "801"), "--bf16": (56, "True"),
        },
    ),
    "videomamba_pretrain:middle_ssv2": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle_mask/run_mask_pretrain.sh", "11", 32,
        {
            "--num_sample": (24, "1"), "--flip": (26, "True"), "--mask_type": (27, "attention"),
            "--mask_ratio": (28, "0.8"), "--model": (29, "videomamba_middle_pretrain"),
            "--clip_teacher": (30, "clip_b16"), "--clip_loss_ratio": (31, "1"), "--clip_loss_type": (32, "l2"),
            "--clip_decoder_embed_dim": (33, "576"), "--clip_output_dim": (34, "512"), "--clip_norm_type": (35, "l2"),
            "--clip_return_layer": (36, "1"), "--clip_return_interval": (37, "1"),
            "--clip_student_return_interval": (38, "1"), "--clip_return_cls": (39, "True"),
            "--clip_return_attn": (40, "True"), "--tubelet_size": (41, "1"), "--lr": (42, "1.5e-4"),
            "--drop_path": (43, "0.4"), "--batch_size": (44, "64"), "--num_segments": (45, "8"),
            "--num_frames": (46, "8"), "--sampling_rate": (47, "1"), "--opt": (49, "adamw"),
            "--opt_betas[0]": (50, "0.9"), "--opt_betas[1]": (50, "0.95"), "--warmup_epochs": (51, "40"),
            "--epochs": (53, "801"), "--bf16": (56, "True"),
        },
    ),
}
