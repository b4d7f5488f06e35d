"""The mathematics: noise, schedules, predictions and samplers; torch and types only."""
