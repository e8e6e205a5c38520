"""The flags of VideoMAE V2's scripts and their line numbers, by the name of our experiment."""

from vidjax.config.official.table import Script

# fmt: off
PRETRAINING = {
    "videomae_v2_k400:base": Script(
        "scripts/pretrain/vit_b_hybrid_pt.sh", "13", 32,
        {
            "--mask_type": (31, "tube"), "--mask_ratio": (32, "0.9"), "--decoder_mask_type": (33, "run_cell"),
            "--decoder_mask_ratio": (34, "0.5"), "--model": (35, "pretrain_videomae_base_patch16_224"),
            "--decoder_depth": (36, "4"), "--batch_size": (37, "32"), "--num_sample": (38, "4"),
            "--num_frames": (39, "16"), "--sampling_rate": (40, "4"), "--lr": (42, "1e-3"), "--opt": (43, "adamw"),
            "--opt_betas[0]": (44, "0.9"), "--opt_betas[1]": (44, "0.95"), "--warmup_epochs": (45, "20"),
            "--epochs": (47, "200"),
        },
    ),
    "videomae_v2_k400:large": Script(
        "scripts/pretrain/vit_l_hybrid_pt.sh", "13", 48,
        {
            "--mask_type": (31, "tube"), "--mask_ratio": (32, "0.9"), "--decoder_mask_type": (33, "run_cell"),
            "--decoder_mask_ratio": (34, "0.5"), "--model": (35, "pretrain_videomae_large_patch16_224"),
            "--decoder_depth": (36, "4"), "--batch_size": (37, "32"), "--num_frames": (38, "16"),
            "--sampling_rate": (39, "4"), "--num_sample": (40, "4"), "--opt": (42, "adamw"), "--lr": (43, "1e-3"),
            "--opt_betas[0]": (44, "0.9"), "--opt_betas[1]": (44, "0.95"), "--warmup_epochs": (45, "30"),
            "--epochs": (47, "300"),
        },
    ),
    "videomae_v2_k400:huge": Script(
        "scripts/pretrain/vit_h_hybrid_pt.sh", "13", 64,
        {
            "--mask_type": (31, "tube"), "--mask_ratio": (32, "0.9"), "--decoder_mask_type": (33, "run_cell"),
            "--decoder_mask_ratio": (34, "0.5"), "--model": (35, "pretrain_videomae_huge_patch16_224"),
            "--decoder_depth": (36, "4"), "--batch_size": (37, "32"), "--num_frames": (39, "16"),
            "--sampling_rate": (40, "4"), "--num_sample": (41, "4"), "--opt": (43, "adamw"), "--lr": (44, "1e-3"),
            "--opt_betas[0]": (45, "0.9"), "--opt_betas[1]": (45, "0.95"), "--warmup_epochs": (46, "30"),
            "--epochs": (48, "300"),
        },
    ),
    "videomae_v2_k400:giant": Script(
        "scripts/pretrain/vit_g_hybrid_pt.sh", "13", 64,
        {
            "--mask_type": (31, "tube"), "--mask_ratio": (32, "0.9"), "--decoder_mask_type": (33, "run_cell"),
            "--decoder_mask_ratio": (34, "0.5"), "--model": (35, "pretrain_videomae_giant_patch14_224"),
            "--decoder_depth": (36, "4"), "--batch_size": (37, "32"), "--num_frames": (39, "16"),
            "--sampling_rate": (40, "4"), "--num_sample": (41, "4"), "--opt": (43, "adamw"), "--lr": (44, "6e-4"),
            "--clip_grad": (45, "0.02"), "--opt_betas[0]": (46, "0.9"), "--opt_betas[1]": (46, "0.95"),
            "--warmup_epochs": (47, "30"), "--epochs": (49, "300"),
        },
    ),
}

FINETUNING = {
    "finetune_k400:base_v2": Script(
        "scripts/finetune/vit_b_k400_ft.sh", "14", 32,
        {
            "--model": (32, "vit_base_patch16_224"), "--batch_size": (37, "16"), "--input_size": (38, "224"),
            "--short_side_size": (39, "224"), "--num_frames": (41, "16"), "--sampling_rate": (42, "4"),
            "--opt": (44, "adamw"), "--lr": (45, "7e-4"), "--opt_betas[0]": (46, "0.9"),
            "--opt_betas[1]": (46, "0.999"), "--weight_decay": (47, "0.05"), "--layer_decay": (48, "0.75"),
            "--test_num_segment": (49, "5"), "--test_num_crop": (50, "3"), "--epochs": (51, "90"),
        },
    ),
    "finetune_k400:large_v2": Script(
        "scripts/finetune/vit_l_k400_ft.sh", "14", 32,
        {
            "--model": (31, "vit_large_patch16_224"), "--batch_size": (36, "6"), "--input_size": (37, "224"),
            "--short_side_size": (38, "224"), "--num_frames": (40, "16"), "--sampling_rate": (41, "4"),
            "--opt": (43, "adamw"), "--lr": (44, "2e-3"), "--drop_path": (45, "0.2"), "--layer_decay": (46, "0.75"),
            "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"), "--weight_decay": (48, "0.05"),
            "--epochs": (49, "35"), "--test_num_segment": (50, "5"), "--test_num_crop": (51, "3"),
        },
    ),
    "finetune_k400:huge_v2": Script(
        "scripts/finetune/vit_h_k400_ft.sh", "14", 32,
        {
            "--model": (32, "vit_huge_patch16_224"), "--data_set": (33, "Kinetics-400"), "--nb_classes": (34, "400"),
            "--batch_size": (39, "4"), "--input_size": (40, "224"), "--short_side_size": (41, "224"),
            "--num_frames": (43, "16"), "--sampling_rate": (44, "4"), "--num_sample": (45, "2"),
            "--opt": (47, "adamw"), "--lr": (48, "1e-3"), "--drop_path": (49, "0.2"), "--head_drop_rate": (50, "0.5"),
            "--layer_decay": (51, "0.8"), "--opt_betas[0]": (52, "0.9"), "--opt_betas[1]": (52, "0.999"),
            "--weight_decay": (53, "0.05"), "--warmup_epochs": (54, "5"), "--epochs": (55, "40"),
            "--test_num_segment": (56, "5"), "--test_num_crop": (57, "3"),
        },
    ),
    "finetune_k400:giant": Script(
        "scripts/finetune/vit_g_k710_it_k400_ft.sh", "14", 32,
        {
            "--model": (31, "vit_giant_patch14_224"), "--data_set": (32, "Kinetics-400"), "--nb_classes": (33, "400"),
            "--batch_size": (38, "3"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "1e-5"), "--drop_path": (48, "0.25"), "--layer_decay": (49, "0.9"),
            "--opt_betas[0]": (50, "0.9"), "--opt_betas[1]": (50, "0.999"), "--weight_decay": (51, "0.1"),
            "--warmup_epochs": (52, "1"), "--epochs": (53, "3"), "--test_num_segment": (54, "5"),
            "--test_num_crop": (55, "3"),
        },
    ),
    "finetune_k710:base_v2": Script(
        "scripts/finetune/vit_b_k710_ft.sh", "14", 32,
        {
            "--model": (31, "vit_base_patch16_224"), "--data_set": (32, "Kinetics-710"), "--nb_classes": (33, "710"),
            "--batch_size": (38, "16"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "7e-4"), "--drop_path": (48, "0.1"), "--head_drop_rate": (49, "0.0"),
            "--layer_decay": (50, "0.75"), "--opt_betas[0]": (51, "0.9"), "--opt_betas[1]": (51, "0.999"),
            "--warmup_epochs": (52, "5"), "--epochs": (53, "90"), "--test_num_segment": (54, "5"),
            "--test_num_crop": (55, "3"),
        },
    ),
    "finetune_k710:huge_v2": Script(
        "scripts/finetune/vit_h_k710_ft.sh", "14", 32,
        {
            "--model": (31, "vit_huge_patch16_224"), "--data_set": (32, "Kinetics-710"), "--nb_classes": (33, "710"),
            "--batch_size": (38, "4"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "1e-3"), "--warmup_lr": (48, "1e-8"), "--min_lr": (49, "1e-6"),
            "--drop_path": (50, "0.2"), "--head_drop_rate": (51, "0.5"), "--layer_decay": (52, "0.8"),
            "--opt_betas[0]": (53, "0.9"), "--opt_betas[1]": (53, "0.999"), "--weight_decay": (54, "0.05"),
            "--warmup_epochs": (55, "5"), "--epochs": (56, "40"), "--test_num_segment": (57, "5"),
            "--test_num_crop": (58, "3"),
        },
    ),
    "finetune_k710:giant": Script(
        "scripts/finetune/vit_g_k710_ft.sh", "14", 32,
        {
            "--model": (31, "vit_giant_patch14_224"), "--data_set": (32, "Kinetics-710"), "--nb_classes": (33, "710"),
            "--batch_size": (38, "3"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "1e-3"), "--drop_path": (48, "0.3"), "--clip_grad": (49, "5.0"),
            "--layer_decay": (50, "0.9"), "--opt_betas[0]": (51, "0.9"), "--opt_betas[1]": (51, "0.999"),
            "--weight_decay": (52, "0.1"), "--warmup_epochs": (53, "5"), "--epochs": (54, "35"),
            "--test_num_segment": (55, "5"), "--test_num_crop": (56, "3"),
        },
    ),
    "finetune_k400:giant_direct": Script(
        "scripts/finetune/vit_g_k400_ft.sh", "14", 64,
        {
            "--model": (32, "vit_giant_patch14_224"), "--data_set": (33, "Kinetics-400"), "--nb_classes": (34, "400"),
            "--batch_size": (39, "3"), "--input_size": (40, "224"), "--short_side_size": (41, "224"),
            "--num_frames": (43, "16"), "--sampling_rate": (44, "4"), "--num_sample": (45, "2"),
            "--opt": (47, "adamw"), "--lr": (48, "1e-3"), "--drop_path": (49, "0.2"), "--layer_decay": (50, "0.9"),
            "--opt_betas[0]": (51, "0.9"), "--opt_betas[1]": (51, "0.999"), "--weight_decay": (52, "0.1"),
            "--warmup_epochs": (53, "5"), "--epochs": (54, "30"), "--test_num_segment": (55, "5"),
            "--test_num_crop": (56, "3"),
        },
    ),
    "finetune_ssv2:base_v2": Script(
        "scripts/finetune/vit_b_ssv2_ft.sh", "14", 16,
        {
            "--model": (32, "vit_base_patch16_224"), "--data_set": (33, "SSV2"), "--nb_classes": (34, "174"),
            "--batch_size": (39, "16"), "--num_sample": (40, "2"), "--input_size": (41, "224"),
            "--short_side_size": (42, "224"), "--num_frames": (44, "16"), "--opt": (45, "adamw"),
            "--lr": (46, "2e-3"), "--layer_decay": (48, "0.65"), "--opt_betas[0]": (49, "0.9"),
            "--opt_betas[1]": (49, "0.999"), "--weight_decay": (50, "0.05"), "--epochs": (51, "25"),
            "--test_num_segment": (53, "2"), "--test_num_crop": (54, "3"),
        },
    ),
    "finetune_ssv2:large_v2": Script(
        "scripts/finetune/vit_l_ssv2_ft.sh", "14", 32,
        {
            "--model": (31, "vit_large_patch16_224"), "--data_set": (32, "SSV2"), "--nb_classes": (33, "174"),
            "--batch_size": (38, "6"), "--num_sample": (39, "2"), "--input_size": (40, "224"),
            "--short_side_size": (41, "224"), "--num_frames": (43, "16"), "--opt": (44, "adamw"),
            "--lr": (45, "5e-4"), "--opt_betas[0]": (47, "0.9"), "--opt_betas[1]": (47, "0.999"),
            "--weight_decay": (48, "0.05"), "--drop_path": (49, "0.2"), "--epochs": (50, "20"),
            "--test_num_segment": (51, "2"), "--test_num_crop": (52, "3"),
        },
    ),
    "finetune_ssv2:huge_v2": Script(
        "scripts/finetune/vit_h_ssv2_ft.sh", "14", 32,
        {
            "--model": (32, "vit_huge_patch16_224"), "--data_set": (33, "SSV2"), "--nb_classes": (34, "174"),
            "--batch_size": (39, "4"), "--num_sample": (40, "2"), "--input_size": (41, "224"),
            "--short_side_size": (42, "224"), "--num_frames": (44, "16"), "--opt": (45, "adamw"),
            "--lr": (46, "5e-4"), "--opt_betas[0]": (48, "0.9"), "--opt_betas[1]": (48, "0.999"),
            "--weight_decay": (49, "0.05"), "--drop_path": (50, "0.2"), "--layer_decay": (51, "0.8"),
            "--epochs": (52, "20"), "--test_num_segment": (53, "2"), "--test_num_crop": (54, "3"),
        },
    ),
    "finetune_ssv2:giant": Script(
        "scripts/finetune/vit_g_ssv2_ft.sh", "14", 32,
        {
            "--model": (31, "vit_giant_patch14_224"), "--data_set": (32, "SSV2"), "--nb_classes": (33, "174"),
            "--batch_size": (40, "3"), "--input_size": (41, "224"), "--short_side_size": (42, "224"),
            "--num_frames": (44, "16"), "--sampling_rate": (45, "4"), "--num_sample": (46, "2"),
            "--opt": (48, "adamw"), "--lr": (49, "3e-4"), "--drop_path": (50, "0.25"), "--layer_decay": (51, "0.9"),
            "--opt_betas[0]": (52, "0.9"), "--opt_betas[1]": (52, "0.999"), "--weight_decay": (53, "0.05"),
            "--warmup_epochs": (54, "5"), "--epochs": (55, "20"), "--test_num_segment": (56, "2"),
            "--test_num_crop": (57, "3"),
        },
    ),
    "finetune_ucf101:giant": Script(
        "scripts/finetune/vit_g_k710_it_ucf101_ft.sh", "17", 8,
        {
            "--model": (34, "vit_giant_patch14_224"), "--data_set": (35, "UCF101"), "--nb_classes": (36, "101"),
            "--batch_size": (41, "3"), "--num_sample": (42, "2"), "--input_size": (43, "224"),
            "--short_side_size": (44, "224"), "--num_frames": (46, "16"), "--sampling_rate": (47, "4"),
            "--opt": (48, "adamw"), "--lr": (49, "1e-3"), "--layer_decay": (50, "0.90"),
            "--opt_betas[0]": (52, "0.9"), "--opt_betas[1]": (52, "0.999"), "--weight_decay": (53, "0.05"),
            "--epochs": (54, "50"), "--drop_path": (55, "0.35"), "--head_drop_rate": (56, "0.5"),
            "--test_num_segment": (57, "5"), "--test_num_crop": (58, "3"),
        },
    ),
    "finetune_hmdb51:giant": Script(
        "scripts/finetune/vit_g_k710_it_hmdb51_ft.sh", "17", 8,
        {
            "--model": (34, "vit_giant_patch14_224"), "--data_set": (35, "HMDB51"), "--nb_classes": (36, "51"),
            "--batch_size": (41, "3"), "--num_sample": (42, "2"), "--input_size": (43, "224"),
            "--short_side_size": (44, "224"), "--num_frames": (46, "16"), "--sampling_rate": (47, "2"),
            "--opt": (48, "adamw"), "--lr": (49, "5e-4"), "--layer_decay": (50, "0.90"),
            "--opt_betas[0]": (52, "0.9"), "--opt_betas[1]": (52, "0.999"), "--weight_decay": (53, "0.05"),
            "--epochs": (54, "15"), "--drop_path": (55, "0.35"), "--head_drop_rate": (56, "0.5"),
            "--test_num_segment": (57, "5"), "--test_num_crop": (58, "3"),
        },
    ),
    "finetune_k600:giant": Script(
        "scripts/finetune/vit_g_k710_it_k600_ft.sh", "14", 32,
        {
            "--model": (31, "vit_giant_patch14_224"), "--data_set": (32, "Kinetics-600"), "--nb_classes": (33, "600"),
            "--batch_size": (38, "3"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "1e-5"), "--drop_path": (48, "0.25"), "--layer_decay": (49, "0.9"),
            "--opt_betas[0]": (50, "0.9"), "--opt_betas[1]": (50, "0.999"), "--weight_decay": (51, "0.1"),
            "--warmup_epochs": (52, "1"), "--epochs": (53, "3"), "--test_num_segment": (54, "5"),
            "--test_num_crop": (55, "3"),
        },
    ),
    "finetune_k600:huge_v2": Script(
        "scripts/finetune/vit_h_k600_ft.sh", "14", 32,
        {
            "--model": (31, "vit_huge_patch16_224"), "--data_set": (32, "Kinetics-600"), "--nb_classes": (33, "600"),
            "--batch_size": (38, "4"), "--input_size": (39, "224"), "--short_side_size": (40, "224"),
            "--num_frames": (42, "16"), "--sampling_rate": (43, "4"), "--num_sample": (44, "2"),
            "--opt": (46, "adamw"), "--lr": (47, "1e-3"), "--drop_path": (48, "0.2"), "--head_drop_rate": (49, "0.5"),
            "--layer_decay": (50, "0.8"), "--opt_betas[0]": (51, "0.9"), "--opt_betas[1]": (51, "0.999"),
            "--weight_decay": (52, "0.05"), "--warmup_epochs": (53, "5"), "--epochs": (54, "40"),
            "--test_num_segment": (55, "5"), "--test_num_crop": (56, "3"),
        },
    ),
}
# fmt: on
