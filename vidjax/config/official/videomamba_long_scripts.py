"""The flags of VideoMamba's Breakfast, COIN and LVU scripts and their line numbers, by the name of our experiment."""

from vidjax.config.official.table import Script

_HERE = "videomamba/video_sm"

# fmt: off
FINETUNING = {
    "videomamba_breakfast:ti": Script(
        f"{_HERE}/exp/breakfast/videomamba_tiny/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "32"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "70"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.1"), "--aa": (45, "rand-m5-n2-mstd0.25-inc1"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.1"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_breakfast:ti_f64": Script(
        f"{_HERE}/exp/breakfast/videomamba_tiny/run_f64x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "16"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "70"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.1"), "--aa": (45, "rand-m5-n2-mstd0.25-inc1"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.1"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_breakfast:small": Script(
        f"{_HERE}/exp/breakfast/videomamba_small/run_f32x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "16"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "50"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "4"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_breakfast:small_f64": Script(
        f"{_HERE}/exp/breakfast/videomamba_small/run_f64x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "50"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "4"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_breakfast:middle": Script(
        f"{_HERE}/exp/breakfast/videomamba_middle/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "50"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.8"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_breakfast:middle_f64": Script(
        f"{_HERE}/exp/breakfast/videomamba_middle/run_f64x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "4"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "50"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.8"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_breakfast:middle_masked": Script(
        f"{_HERE}/exp/breakfast/videomamba_middle_mask/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "45"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.4"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_breakfast:middle_masked_f64": Script(
        f"{_HERE}/exp/breakfast/videomamba_middle_mask/run_f64x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
            "--batch_size": (32, "4"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "45"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.4"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:ti": Script(
        f"{_HERE}/exp/coin/videomamba_tiny/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "32"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "40"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.1"), "--aa": (45, "rand-m5-n2-mstd0.25-inc1"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.1"),
            "--test_num_segment": (49, "10"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:ti_f64": Script(
        f"{_HERE}/exp/coin/videomamba_tiny/run_f64x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "16"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "40"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.1"), "--aa": (45, "rand-m5-n2-mstd0.25-inc1"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.1"),
            "--test_num_segment": (49, "10"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:small": Script(
        f"{_HERE}/exp/coin/videomamba_small/run_f32x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "16"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "35"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "10"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_coin:small_f64": Script(
        f"{_HERE}/exp/coin/videomamba_small/run_f64x224.sh", "11", 16,
        {
            "--model": (23, "videomamba_small"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "35"), "--lr": (43, "2e-4"),
            "--drop_path": (44, "0.4"), "--opt": (45, "adamw"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--test_num_segment": (48, "10"),
            "--test_num_crop": (49, "3"), "--test_best": (51, "True"), "--bf16": (52, "True"),
        },
    ),
    "videomamba_coin:middle": Script(
        f"{_HERE}/exp/coin/videomamba_middle/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "30"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.8"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "10"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:middle_f64": Script(
        f"{_HERE}/exp/coin/videomamba_middle/run_f64x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "4"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "30"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.8"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "10"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:middle_masked": Script(
        f"{_HERE}/exp/coin/videomamba_middle_mask/run_f32x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "30"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.4"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "10"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
    "videomamba_coin:middle_masked_f64": Script(
        f"{_HERE}/exp/coin/videomamba_middle_mask/run_f64x224.sh", "11", 8,
        {
            "--model": (23, "videomamba_middle"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "180"),
            "--batch_size": (32, "4"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
            "--short_side_size": (35, "224"), "--num_frames": (37, "64"), "--orig_t_size": (38, "64"),
            "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "30"), "--lr": (43, "2e-4"),
            "--layer_decay": (44, "0.8"), "--drop_path": (45, "0.4"), "--opt": (46, "adamw"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
            "--bf16": (53, "True"),
        },
    ),
}

# The command for the task "director"; the other tasks differ only in --nb_classes and the folder.
_LVU = Script(
    f"{_HERE}/exp/lvu/run_class.sh", "11", 8,
    {
        "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "10"),
        "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
        "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
        "--warmup_epochs": (40, "5"), "--tubelet_size": (41, "1"), "--epochs": (42, "70"), "--lr": (43, "4e-4"),
        "--drop_path": (44, "0.15"), "--aa": (45, "rand-m5-n2-mstd0.25-inc1"), "--opt": (46, "adamw"),
        "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.1"),
        "--test_num_segment": (49, "4"), "--test_num_crop": (50, "3"), "--test_best": (52, "True"),
        "--bf16": (53, "True"),
    },
)  # fmt: skip
# The classes of each task, with the line of datasets/build.py that counts them.
LVU_CLASSES = {
    "relationship": (255, "4"), "way_speaking": (257, "5"), "scene": (259, "6"), "director": (261, "10"),
    "genre": (263, "4"), "writer": (265, "10"), "year": (267, "9"),
}  # fmt: skip
FINETUNING |= {f"videomamba_lvu:{task}": _LVU for task in LVU_CLASSES}
# The regression tasks. run_regression.sh and run_regression_trim.sh each have the other's --data_set: according to
# README.md:84, whole clips need Kinetics_sparse, and run_regression.sh, which sets LVU, fails at datasets/build.py:274.
_LVU_NUMBER = Script(
    f"{_HERE}/exp/lvu/run_regression_trim.sh", "11", 8,
    {
        "--model": (23, "videomamba_tiny"), "--data_set": (27, "Kinetics_sparse"), "--nb_classes": (29, "1"),
        "--batch_size": (32, "8"), "--num_sample": (33, "2"), "--input_size": (34, "224"),
        "--short_side_size": (35, "224"), "--num_frames": (37, "32"), "--orig_t_size": (38, "32"),
        "--trimmed": (39, "60"), "--time_stride": (40, "16"), "--warmup_epochs": (42, "5"),
        "--tubelet_size": (43, "1"), "--epochs": (44, "70"), "--lr": (45, "4e-4"), "--drop_path": (46, "0.15"),
        "--aa": (47, "rand-m5-n2-mstd0.25-inc1"), "--opt": (48, "adamw"), "--opt_betas[0]": (49, "0.9"),
        "--opt_betas[1]": (49, "0.999"), "--weight_decay": (50, "0.1"), "--test_num_segment": (51, "4"),
        "--test_num_crop": (52, "3"), "--test_best": (54, "True"), "--bf16": (55, "True"),
    },
)  # fmt: skip
LVU_NUMBERS = {f"videomamba_lvu:{task}": _LVU_NUMBER for task in ("like_ratio", "view_count")}
FINETUNING |= LVU_NUMBERS

# Published top-1 accuracy, with the model zoo's line for each script.
PUBLISHED = {
    "videomamba_breakfast:ti": "94.3 (videomamba/video_sm/MODEL_ZOO.md:73)",
    "videomamba_breakfast:ti_f64": "94.3 (videomamba/video_sm/MODEL_ZOO.md:74)",
    "videomamba_breakfast:small": "95.3 (videomamba/video_sm/MODEL_ZOO.md:75)",
    "videomamba_breakfast:small_f64": "97.4 (videomamba/video_sm/MODEL_ZOO.md:76)",
    "videomamba_breakfast:middle": "94.8 (videomamba/video_sm/MODEL_ZOO.md:77)",
    "videomamba_breakfast:middle_f64": "95.8 (videomamba/video_sm/MODEL_ZOO.md:78)",
    "videomamba_breakfast:middle_masked": "97.9 (videomamba/video_sm/MODEL_ZOO.md:79)",
    "videomamba_breakfast:middle_masked_f64": "96.9 (videomamba/video_sm/MODEL_ZOO.md:80)",
    "videomamba_coin:ti": "86.2 (videomamba/video_sm/MODEL_ZOO.md:88)",
    "videomamba_coin:ti_f64": "87.0 (videomamba/video_sm/MODEL_ZOO.md:89)",
    "videomamba_coin:small": "88.4 (videomamba/video_sm/MODEL_ZOO.md:90)",
    "videomamba_coin:small_f64": "88.7 (videomamba/video_sm/MODEL_ZOO.md:91)",
    "videomamba_coin:middle": "88.3 (videomamba/video_sm/MODEL_ZOO.md:92)",
    "videomamba_coin:middle_f64": "89.5 (videomamba/video_sm/MODEL_ZOO.md:93)",
    "videomamba_coin:middle_masked": "89.6 (videomamba/video_sm/MODEL_ZOO.md:94)",
    "videomamba_coin:middle_masked_f64": "90.4 (videomamba/video_sm/MODEL_ZOO.md:95)",
}
_UNSTABLE = "none; the authors call their results unstable (videomamba/video_sm/MODEL_ZOO.md:99)"
PUBLISHED |= {f"videomamba_lvu:{task}": _UNSTABLE for task in LVU_CLASSES} | dict.fromkeys(LVU_NUMBERS, _UNSTABLE)
