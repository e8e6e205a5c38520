"""The flags of VideoMAE's scripts and their line numbers, by the name of our experiment."""

from vidjax.config.official.table import Script

# fmt: off
PRETRAINING = {
    "videomae_k400:small": Script(
        "scripts/kinetics/videomae_vit_small_patch16_224_tubemasking_ratio_0.9_epoch_1600/pretrain.sh", "8,9", 32,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_small_patch16_224"), "--decoder_depth": (15, "4"),
            "--batch_size": (16, "32"), "--num_frames": (17, "16"), "--sampling_rate": (18, "4"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "1601"),
        },
    ),
    "videomae_k400:base": Script(
        "scripts/kinetics/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_1600/pretrain.sh", "8,9", 64,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_base_patch16_224"), "--decoder_depth": (15, "4"),
            "--batch_size": (16, "32"), "--num_frames": (17, "16"), "--sampling_rate": (18, "4"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "1601"),
        },
    ),
    "videomae_k400:large": Script(
        "scripts/kinetics/videomae_vit_large_patch16_224_tubemasking_ratio_0.9_epoch_1600/pretrain.sh", "8,9", 64,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_large_patch16_224"), "--decoder_depth": (15, "12"),
            "--batch_size": (16, "8"), "--num_frames": (17, "16"), "--sampling_rate": (18, "4"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "1601"),
        },
    ),
    "videomae_k400:huge": Script(
        "scripts/kinetics/videomae_vit_huge_patch16_224_tubemasking_ratio_0.9_epoch_1600/pretrain.sh", "8,9", 64,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_huge_patch16_224"), "--decoder_depth": (15, "12"),
            "--batch_size": (16, "16"), "--num_frames": (17, "16"), "--sampling_rate": (18, "4"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "1601"),
        },
    ),
    "videomae_ssv2:small": Script(
        "scripts/ssv2/videomae_vit_small_patch16_224_tubemasking_ratio_0.9_epoch_2400/pretrain.sh", "8,9", 64,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_small_patch16_224"), "--decoder_depth": (15, "4"),
            "--batch_size": (16, "32"), "--num_frames": (17, "16"), "--sampling_rate": (18, "2"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "2401"),
        },
    ),
    "videomae_ssv2:base": Script(
        "scripts/ssv2/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_2400/pretrain.sh", "8,9", 64,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.9"),
            "--model": (14, "pretrain_videomae_base_patch16_224"), "--decoder_depth": (15, "4"),
            "--batch_size": (16, "32"), "--num_frames": (17, "16"), "--sampling_rate": (18, "2"),
            "--opt": (19, "adamw"), "--opt_betas[0]": (20, "0.9"), "--opt_betas[1]": (20, "0.95"),
            "--warmup_epochs": (21, "40"), "--epochs": (23, "2401"),
        },
    ),
    "videomae_ucf101:base": Script(
        "scripts/ucf101/videomae_vit_base_patch16_224_tubemasking_ratio_0.75_epoch_3200/pretrain.sh", "9", 8,
        {
            "--mask_type": (12, "tube"), "--mask_ratio": (13, "0.75"),
            "--model": (14, "pretrain_videomae_base_patch16_224"), "--decoder_depth": (15, "4"), "--lr": (16, "3e-4"),
            "--batch_size": (17, "24"), "--num_frames": (18, "16"), "--sampling_rate": (19, "4"),
            "--opt": (20, "adamw"), "--opt_betas[0]": (21, "0.9"), "--opt_betas[1]": (21, "0.95"),
            "--warmup_epochs": (22, "40"), "--epochs": (23, "3201"),
        },
    ),
}

FINETUNING = {
    "finetune_k400:small": Script(
        "scripts/kinetics/videomae_vit_small_patch16_224_tubemasking_ratio_0.9_epoch_1600/finetune.sh", "13,14", 32,
        {
            "--model": (16, "vit_small_patch16_224"), "--data_set": (17, "Kinetics-400"), "--nb_classes": (18, "400"),
            "--batch_size": (23, "12"), "--num_sample": (24, "2"), "--input_size": (25, "224"),
            "--short_side_size": (26, "224"), "--num_frames": (28, "16"), "--sampling_rate": (29, "4"),
            "--opt": (30, "adamw"), "--lr": (31, "5e-4"), "--opt_betas[0]": (32, "0.9"),
            "--opt_betas[1]": (32, "0.999"), "--weight_decay": (33, "0.05"), "--epochs": (34, "150"),
            "--test_num_segment": (35, "5"), "--test_num_crop": (36, "3"),
        },
    ),
    "finetune_k400:base": Script(
        "scripts/kinetics/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_1600/finetune.sh", "13,14", 64,
        {
            "--model": (16, "vit_base_patch16_224"), "--data_set": (17, "Kinetics-400"), "--nb_classes": (18, "400"),
            "--batch_size": (23, "6"), "--num_sample": (24, "2"), "--input_size": (25, "224"),
            "--short_side_size": (26, "224"), "--num_frames": (28, "16"), "--sampling_rate": (29, "4"),
            "--opt": (30, "adamw"), "--lr": (31, "5e-4"), "--opt_betas[0]": (32, "0.9"),
            "--opt_betas[1]": (32, "0.999"), "--weight_decay": (33, "0.05"), "--epochs": (34, "75"),
            "--test_num_segment": (36, "5"), "--test_num_crop": (37, "3"),
        },
    ),
    "finetune_k400:large": Script(
        "scripts/kinetics/videomae_vit_large_patch16_224_tubemasking_ratio_0.9_epoch_1600/finetune.sh", "13,14", 64,
        {
            "--model": (16, "vit_large_patch16_224"), "--data_set": (17, "Kinetics-400"), "--nb_classes": (18, "400"),
            "--batch_size": (23, "2"), "--num_sample": (24, "2"), "--input_size": (25, "224"),
            "--short_side_size": (26, "224"), "--num_frames": (28, "16"), "--sampling_rate": (29, "4"),
            "--opt": (30, "adamw"), "--lr": (31, "2e-3"), "--opt_betas[0]": (32, "0.9"),
            "--opt_betas[1]": (32, "0.999"), "--weight_decay": (33, "0.05"), "--epochs": (34, "35"),
            "--test_num_segment": (36, "5"), "--test_num_crop": (37, "3"),
        },
    ),
    "finetune_k400:huge": Script(
        "scripts/kinetics/videomae_vit_huge_patch16_224_tubemasking_ratio_0.9_epoch_1600/finetune.sh", "13,14", 64,
        {
            "--model": (16, "vit_huge_patch16_224"), "--data_set": (17, "Kinetics-400"), "--nb_classes": (18, "400"),
            "--batch_size": (23, "8"), "--num_sample": (24, "2"), "--input_size": (25, "224"),
            "--short_side_size": (26, "224"), "--num_frames": (28, "16"), "--sampling_rate": (29, "4"),
            "--opt": (30, "adamw"), "--lr": (31, "1e-3"), "--warmup_lr": (32, "1e-8"), "--min_lr": (33, "1e-5"),
            "--layer_decay": (34, "0.75"), "--opt_betas[0]": (35, "0.9"), "--opt_betas[1]": (35, "0.999"),
            "--weight_decay": (36, "0.05"), "--epochs": (37, "50"), "--drop_path": (38, "0.2"),
            "--fc_drop_rate": (39, "0.5"), "--test_num_segment": (40, "5"), "--test_num_crop": (41, "3"),
        },
    ),
    "finetune_ssv2:small": Script(
        "scripts/ssv2/videomae_vit_small_patch16_224_tubemasking_ratio_0.9_epoch_2400/finetune.sh", "10,11", 32,
        {
            "--model": (13, "vit_small_patch16_224"), "--data_set": (14, "SSV2"), "--nb_classes": (15, "174"),
            "--batch_size": (20, "12"), "--num_sample": (21, "2"), "--input_size": (22, "224"),
            "--short_side_size": (23, "224"), "--num_frames": (25, "16"), "--opt": (26, "adamw"),
            "--lr": (27, "1e-3"), "--layer_decay": (28, "0.7"), "--opt_betas[0]": (29, "0.9"),
            "--opt_betas[1]": (29, "0.999"), "--weight_decay": (30, "0.05"), "--epochs": (31, "40"),
            "--test_num_segment": (32, "2"), "--test_num_crop": (33, "3"),
        },
    ),
    "finetune_ssv2:base": Script(
        "scripts/ssv2/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_2400/finetune.sh", "10,11", 64,
        {
            "--model": (13, "vit_base_patch16_224"), "--data_set": (14, "SSV2"), "--nb_classes": (15, "174"),
            "--batch_size": (20, "6"), "--num_sample": (21, "2"), "--input_size": (22, "224"),
            "--short_side_size": (23, "224"), "--num_frames": (25, "16"), "--opt": (26, "adamw"),
            "--lr": (27, "5e-4"), "--opt_betas[0]": (28, "0.9"), "--opt_betas[1]": (28, "0.999"),
            "--weight_decay": (29, "0.05"), "--epochs": (30, "30"), "--test_num_segment": (32, "2"),
            "--test_num_crop": (33, "3"),
        },
    ),
    "finetune_ucf101:base": Script(
        "scripts/ucf101/videomae_vit_base_patch16_224_tubemasking_ratio_0.75_epoch_3200/finetune.sh", "10", 8,
        {
            "--model": (12, "vit_base_patch16_224"), "--data_set": (17, "UCF101"), "--nb_classes": (18, "101"),
            "--batch_size": (19, "16"), "--input_size": (20, "224"), "--short_side_size": (21, "224"),
            "--num_frames": (23, "16"), "--sampling_rate": (24, "4"), "--num_sample": (25, "2"),
            "--opt": (26, "adamw"), "--lr": (27, "5e-4"), "--warmup_lr": (28, "1e-8"), "--min_lr": (29, "1e-5"),
            "--layer_decay": (30, "0.7"), "--opt_betas[0]": (31, "0.9"), "--opt_betas[1]": (31, "0.999"),
            "--weight_decay": (32, "0.05"), "--epochs": (33, "100"), "--test_num_segment": (34, "5"),
            "--test_num_crop": (35, "3"), "--fc_drop_rate": (36, "0.5"), "--drop_path": (37, "0.2"),
        },
    ),
    "finetune_k400:base_800": Script(
        "scripts/kinetics/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_800/finetune.sh", "10,11", 64,
        {
            "--model": (13, "vit_base_patch16_224"), "--data_set": (14, "Kinetics-400"), "--nb_classes": (15, "400"),
            "--batch_size": (20, "8"), "--num_sample": (21, "1"), "--input_size": (22, "224"),
            "--short_side_size": (23, "224"), "--num_frames": (25, "16"), "--sampling_rate": (26, "4"),
            "--opt": (27, "adamw"), "--lr": (28, "1e-3"), "--opt_betas[0]": (29, "0.9"),
            "--opt_betas[1]": (29, "0.999"), "--weight_decay": (30, "0.05"), "--epochs": (31, "100"),
            "--test_num_segment": (33, "5"), "--test_num_crop": (34, "3"),
        },
    ),
    "finetune_ssv2:base_800": Script(
        "scripts/ssv2/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_800/finetune.sh", "10,11", 64,
        {
            "--model": (13, "vit_base_patch16_224"), "--data_set": (14, "SSV2"), "--nb_classes": (15, "174"),
            "--batch_size": (20, "8"), "--num_sample": (21, "1"), "--input_size": (22, "224"),
            "--short_side_size": (23, "224"), "--num_frames": (25, "16"), "--opt": (26, "adamw"),
            "--lr": (27, "5e-4"), "--opt_betas[0]": (28, "0.9"), "--opt_betas[1]": (28, "0.999"),
            "--weight_decay": (29, "0.05"), "--epochs": (30, "50"), "--test_num_segment": (32, "2"),
            "--test_num_crop": (33, "3"),
        },
    ),
}
# fmt: on
