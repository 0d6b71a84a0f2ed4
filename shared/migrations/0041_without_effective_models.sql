-- Nobody writes or reads these since 0.1.0 (docs/decisions/0025).

DROP TABLE effective_dependencies;
DROP TABLE effective_models;
