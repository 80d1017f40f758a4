"""lstmcast: train an LSTM on any CSV, forecast the real future, flag anomalies.

One alphabet of axes is used in every shape comment of the project:

    N series, S segments, R rows, B lanes (samples) of a batch, T timesteps of the context, F features,
    H horizon, D targets, K covariates, Q quantile levels, C hidden units, L layers, P patches.

Importing this package imports nothing else.
"""

__version__ = "0.1.0"
