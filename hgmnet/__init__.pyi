from hgmnet.errors import HgmnetError as HgmnetError
from hgmnet.estimator.fit import fit as fit
from hgmnet.inference.maps import ImageMaps as ImageMaps
from hgmnet.inference.postprocess import Prediction as Prediction
from hgmnet.inference.predictor import Predictor as Predictor
from hgmnet.models.hgmnet import HGMNet as HGMNet
from hgmnet.models.serialization import load_model as load_model
from hgmnet.pages.overlays import overlay as overlay

__version__: str
