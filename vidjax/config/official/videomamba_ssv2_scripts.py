"""The flags of VideoMamba's Something-Something v2 scripts and their line numbers, by the name of our experiment."""

from vidjax.config.official.table import Script

_HERE = "videomamba/video_sm"

# fmt: off
FINETUNING = {
    "videomamba_ssv2:ti_f8": Script(
        f"{_HERE}/exp/ssv2/videomamba_tiny/run_f8x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "64"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "8"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "35"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.1"),
            "--aa": (42, "rand-m5-n2-mstd0.25-inc1"), "--opt": (43, "adamw"), "--opt_betas[0]": (44, "0.9"),
            "--opt_betas[1]": (44, "0.999"), "--weight_decay": (45, "0.1"), "--test_num_segment": (46, "2"),
            "--test_num_crop": (47, "3"), "--test_best": (49, "True"), "--bf16": (50, "True"),
        },
    ),
    "videomamba_ssv2:ti": Script(
        f"{_HERE}/exp/ssv2/videomamba_tiny/run_f16x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "64"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "16"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "35"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.1"),
            "--aa": (42, "rand-m5-n2-mstd0.25-inc1"), "--opt": (43, "adamw"), "--opt_betas[0]": (44, "0.9"),
            "--opt_betas[1]": (44, "0.999"), "--weight_decay": (45, "0.1"), "--test_num_segment": (46, "2"),
            "--test_num_crop": (47, "3"), "--test_best": (49, "True"), "--bf16": (50, "True"),
        },
    ),
    "videomamba_ssv2:ti_288": Script(
        f"{_HERE}/exp/ssv2/videomamba_tiny/run_f16x224to288.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "SSV2"), "--nb_classes": (28, "174"),
            "--batch_size": (31, "32"), "--num_sample": (32, "2"), "--input_size": (33, "288"),
            "--short_side_size": (34, "288"), "--num_frames": (36, "64"), "--orig_t_size": (37, "64"),
            "--warmup_epochs": (39, "2"), "--tubelet_size": (40, "1"), "--epochs": (41, "10"), "--lr": (42, "5e-6"),
            "--drop_path": (43, "0.1"), "--aa": (44, "rand-m5-n2-mstd0.25-inc1"), "--opt": (45, "adamw"),
            "--opt_betas[0]": (46, "0.9"), "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "1e-8"),
            "--test_num_segment": (48, "2"), "--test_num_crop": (49, "3"), "--test_best": (51, "True"),
            "--bf16": (52, "True"),
        },
    ),
    "videomamba_ssv2:small_f8": Script(
        f"{_HERE}/exp/ssv2/videomamba_small/run_f8x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_small"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "64"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "8"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "30"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.35"),
            "--opt": (42, "adamw"), "--opt_betas[0]": (43, "0.9"), "--opt_betas[1]": (43, "0.999"),
            "--weight_decay": (44, "0.05"), "--test_num_segment": (45, "2"), "--test_num_crop": (46, "3"),
            "--test_best": (48, "True"), "--bf16": (49, "True"),
        },
    ),
    "videomamba_ssv2:small": Script(
        f"{_HERE}/exp/ssv2/videomamba_small/run_f16x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "32"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "16"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "30"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.35"),
            "--opt": (42, "adamw"), "--opt_betas[0]": (43, "0.9"), "--opt_betas[1]": (43, "0.999"),
            "--weight_decay": (44, "0.05"), "--test_num_segment": (45, "2"), "--test_num_crop": (46, "3"),
            "--test_best": (48, "True"), "--bf16": (49, "True"),
        },
    ),
    "videomamba_ssv2:small_288": Script(
        f"{_HERE}/exp/ssv2/videomamba_small/run_f16x224to288.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "SSV2"), "--nb_classes": (28, "174"),
            "--batch_size": (31, "12"), "--num_sample": (32, "2"), "--input_size": (33, "288"),
            "--short_side_size": (34, "288"), "--num_frames": (36, "16"), "--orig_t_size": (37, "16"),
            "--warmup_epochs": (39, "2"), "--tubelet_size": (40, "1"), "--epochs": (41, "10"), "--lr": (42, "5e-6"),
            "--drop_path": (43, "0.35"), "--opt": (44, "adamw"), "--opt_betas[0]": (45, "0.9"),
            "--opt_betas[1]": (45, "0.999"), "--weight_decay": (46, "1e-8"), "--test_num_segment": (47, "2"),
            "--test_num_crop": (48, "3"), "--test_best": (50, "True"), "--bf16": (51, "True"),
        },
    ),
    "videomamba_ssv2:middle_f8": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle/run_f8x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "32"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "8"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "30"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.8"),
            "--opt": (42, "adamw"), "--opt_betas[0]": (43, "0.9"), "--opt_betas[1]": (43, "0.999"),
            "--weight_decay": (44, "0.05"), "--test_num_segment": (45, "2"), "--test_num_crop": (46, "3"),
            "--test_best": (48, "True"), "--bf16": (49, "True"),
        },
    ),
    "videomamba_ssv2:middle": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle/run_f16x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (26, "SSV2"), "--nb_classes": (27, "174"),
            "--batch_size": (30, "16"), "--num_sample": (31, "2"), "--input_size": (32, "224"),
            "--short_side_size": (33, "224"), "--num_frames": (35, "16"), "--warmup_epochs": (37, "5"),
            "--tubelet_size": (38, "1"), "--epochs": (39, "30"), "--lr": (40, "4e-4"), "--drop_path": (41, "0.8"),
            "--opt": (42, "adamw"), "--opt_betas[0]": (43, "0.9"), "--opt_betas[1]": (43, "0.999"),
            "--weight_decay": (44, "0.05"), "--test_num_segment": (45, "2"), "--test_num_crop": (46, "3"),
            "--test_best": (48, "True"), "--bf16": (49, "True"),
        },
    ),
    "videomamba_ssv2:middle_288": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle/run_f16x224to288.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "SSV2"), "--nb_classes": (28, "174"),
            "--batch_size": (31, "6"), "--num_sample": (32, "2"), "--input_size": (33, "288"),
            "--short_side_size": (34, "288"), "--num_frames": (36, "16"), "--warmup_epochs": (38, "2"),
            "--tubelet_size": (39, "1"), "--epochs": (40, "10"), "--lr": (41, "5e-6"), "--drop_path": (42, "0.8"),
            "--opt": (43, "adamw"), "--opt_betas[0]": (44, "0.9"), "--opt_betas[1]": (44, "0.999"),
            "--weight_decay": (45, "1e-8"), "--test_num_segment": (46, "2"), "--test_num_crop": (47, "3"),
            "--test_best": (49, "True"), "--bf16": (50, "True"),
        },
    ),
    "videomamba_ssv2:middle_masked_f8": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle_mask/run_f8x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "SSV2"), "--nb_classes": (28, "174"),
            "--batch_size": (32, "32"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "8"), "--warmup_epochs": (39, "5"),
            "--tubelet_size": (40, "1"), "--epochs": (41, "30"), "--lr": (42, "1e-4"), "--layer_decay": (43, "0.8"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "2"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_ssv2:middle_masked": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle_mask/run_f16x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "SSV2"), "--nb_classes": (28, "174"),
            "--batch_size": (32, "16"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "16"), "--warmup_epochs": (39, "5"),
            "--tubelet_size": (40, "1"), "--epochs": (41, "30"), "--lr": (42, "1e-4"), "--layer_decay": (43, "0.8"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "2"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_ssv2:middle_masked_288": Script(
        f"{_HERE}/exp/ssv2/videomamba_middle_mask/run_f16x224to288.sh", "11", 16,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "174"),
            "--batch_size": (32, "6"), "--num_sample": (33, "2"), "--input_size": (34, "288"),
            "--short_side_size": (35, "288"), "--num_frames": (37, "16"), "--orig_t_size": (38, "16"),
            "--warmup_epochs": (40, "2"), "--tubelet_size": (41, "1"), "--epochs": (42, "10"), "--lr": (43, "5e-6"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.4"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "1e-8"),
            "--test_num_segment": (49, "2"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
}

# Published top-1 accuracy, with the model zoo's line for each script.
PUBLISHED = {
    "videomamba_ssv2:ti_f8": "65.1 (videomamba/video_sm/MODEL_ZOO.md:53)",
    "videomamba_ssv2:ti": "66.0 (videomamba/video_sm/MODEL_ZOO.md:54)",
    "videomamba_ssv2:ti_288": "66.2 (videomamba/video_sm/MODEL_ZOO.md:55)",
    "videomamba_ssv2:small_f8": "66.6 (videomamba/video_sm/MODEL_ZOO.md:56)",
    "videomamba_ssv2:small": "67.7 (videomamba/video_sm/MODEL_ZOO.md:57)",
    "videomamba_ssv2:small_288": "68.1 (videomamba/video_sm/MODEL_ZOO.md:58)",
    "videomamba_ssv2:middle_f8": "67.3 (videomamba/video_sm/MODEL_ZOO.md:59)",
    "videomamba_ssv2:middle": "68.3 (videomamba/video_sm/MODEL_ZOO.md:60)",
    "videomamba_ssv2:middle_288": "68.4 (videomamba/video_sm/MODEL_ZOO.md:61)",
    "videomamba_ssv2:middle_masked_f8": "70.2 (videomamba/video_sm/MODEL_ZOO.md:62)",
    "videomamba_ssv2:middle_masked": "71.0 (videomamba/video_sm/MODEL_ZOO.md:63)",
    "videomamba_ssv2:middle_masked_288": "71.4 (videomamba/video_sm/MODEL_ZOO.md:64)",
}
