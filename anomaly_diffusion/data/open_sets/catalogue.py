"""Open data sets that may be downloaded: one table of official addresses, licences and checksums."""

from dataclasses import dataclass

__all__ = ["OPEN_SETS", "OpenSet"]


@dataclass(frozen=True)
class OpenSet:
    """A data set and where its owners keep it.

    Args:
        name: of the folder that it becomes.
        title: what it is.
        page: where its owners describe it.
        url: of the archive, a tar file in any compression, or a zip file.
        sha256: of the archive.
        gigabytes: of the archive.
        licence: its name.
        reference: the paper to cite.
        experiment: the configuration that reads it.
        root: the folder in the archive that becomes the data set; "" if its folders lie at the top.
    """

    name: str
    title: str
    page: str
    url: str
    sha256: str
    gigabytes: float
    licence: str
    reference: str
    experiment: str
    root: str = ""


OPEN_SETS = {
    one.name: one
    for one in (
        OpenSet(
            name="mvtec_ad",
            title="5,354 photographs of 15 kinds of objects and textures",
            page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
            url="https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/"
            "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
            gigabytes=5.26,
            licence="CC BY-NC-SA 4.0: not for commercial use",
            reference='Bergmann et al., "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly '
            'Detection", 2019',
            experiment="experiments/data/mvtec_ad.yaml",
        ),
        OpenSet(
            name="visa",
            title="10,821 photographs of 12 kinds of objects, 1,200 of them defective",
            page="https://github.com/amazon-science/spot-diff",
            url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
            sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
            gigabytes=1.93,
            licence="CC BY 4.0",
            reference='Zou et al., "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and '
            'Segmentation", 2022',
            experiment="experiments/data/visa.yaml",
        ),
        OpenSet(
            name="btad",
            title="2,540 photographs of 3 industrial products",
            page="https://github.com/pankajmishra000/VT-ADL",
            url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
            sha256="461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
            gigabytes=1.1,
            licence="CC BY-NC-SA 4.0: not for commercial use",
            reference='Mishra et al., "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and '
            'Localization", 2021',
            experiment="experiments/data/btad.yaml",
            root="BTech_Dataset_transformed",
        ),
    )
}
