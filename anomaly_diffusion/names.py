"""Names that several rooms share: the figures of a run, and how people call them."""

__all__ = ["CHARTS", "CONTROLS", "COSTS", "EXPORTED", "FIGURES", "RUN_COSTS"]

FIGURES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1",
    "aupro": "AUPRO",
    "aupro_05": "AUPRO@.05",
    "aupimo": "AUPIMO",
}
COSTS = {"nfe": "NFE", "seconds_per_image": "s/image"}
RUN_COSTS = {"train_seconds": "train s", "peak_memory_mb": "peak MB"}
CHARTS = (".png", ".pdf", ".svg")  # endings of the files that a chart may go to
EXPORTED = (".onnx", ".pt2")  # endings of exported files
CONTROLS = {
    "blurred_self": "blurred self",
    "mean_image": "mean image",
    "brightness": "brightness |z|",
    "contrast": "contrast |z|",
    "sharpness": "sharpness |z|",
    "brightness_raw": "brightness, raw",
}
