"""From images to predictions: bundle, decode, preprocess, engines, postprocess, predictor."""
